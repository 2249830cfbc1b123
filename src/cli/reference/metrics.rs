//! Every metric.

use super::page::{code, columns, head, row};
use crate::metrics::{FAMILIES, Family, Kind};

const INTRODUCTION: &str = "\
Every family that a worker shows at `/metrics`. Those whose labels have words that are listed here exist from the start, at zero; so do
those of each number that the worker serves. A recipient is never a label. `phone_number_id` is `other` for numbers beyond
`metrics.max_lanes` and for those of other workers. Where a label has no words here, its values are ids, codes or versions.
Units are base units, and the end of the name says which. The families of the process have the names that they have in other services.
";

pub(super) fn page() -> String {
    let mut page = head("Metrics", "src/metrics/families.rs") + INTRODUCTION + "\n";
    columns(&mut page, ["metric", "type", "unit", "labels", "meaning"]);
    for family in FAMILIES {
        let (name, labels) = (code(&family.full_name()), labels(family));
        let kind = family.kind.as_str();
        row(
            &mut page,
            [&name, kind, family.unit(), &labels, family.help],
        );
    }
    page += "\n## Buckets of the histograms\n\n";
    columns(&mut page, ["metric", "upper edges, in seconds"]);
    for family in FAMILIES {
        if let Kind::Histogram(buckets) = family.kind {
            let edges: Vec<String> = buckets.iter().map(f64::to_string).collect();
            row(&mut page, [&code(&family.full_name()), &edges.join(", ")]);
        }
    }
    page
}

fn labels(family: &Family) -> String {
    let labels = family.labels.iter().map(|label| {
        let words = label.words.map(|words| words().join(", "));
        let words = words.map_or(String::new(), |words| format!(" ({words})"));
        format!("{}{words}", code(label.name))
    });
    labels.collect::<Vec<_>>().join(", ")
}
