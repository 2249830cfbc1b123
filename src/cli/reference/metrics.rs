//! Every metric.

use super::page::{as_code, begin_page, push_columns, push_row};
use crate::metrics::{FAMILIES, Family, Kind};

const INTRODUCTION: &str = "\
Every family that a worker shows at `/metrics`. Those whose labels have words that are listed here exist from the start, at zero; so do
those of each number that the worker serves. A recipient is never a label. `phone_number_id` is `other` for numbers beyond
`metrics.max_lanes` and for those of other workers. Where a label has no words here, its values are ids, codes or versions.
Units are base units, and the end of the name says which. The families of the process have the names that they have in other services.
";

pub(super) fn make_page() -> String {
    let mut page = begin_page("Metrics", "src/metrics/families.rs") + INTRODUCTION + "\n";
    push_columns(&mut page, ["metric", "type", "unit", "labels", "meaning"]);
    for family in FAMILIES {
        let (name, labels) = (as_code(&family.full_name()), describe_labels(family));
        let kind = family.kind.as_str();
        push_row(
            &mut page,
            [&name, kind, family.unit(), &labels, family.help],
        );
    }
    page += "\n## Buckets of the histograms\n\n";
    push_columns(&mut page, ["metric", "upper edges, in seconds"]);
    for family in FAMILIES {
        if let Kind::Histogram(buckets) = family.kind {
            let edges: Vec<String> = buckets.iter().map(f64::to_string).collect();
            push_row(
                &mut page,
                [&as_code(&family.full_name()), &edges.join(", ")],
            );
        }
    }
    page
}

fn describe_labels(family: &Family) -> String {
    let labels = family.labels.iter().map(|label| {
        let words = label.words.map(|words| words().join(", "));
        let words = words.map_or(String::new(), |words| format!(" ({words})"));
        format!("{}{words}", as_code(label.name))
    });
    labels.collect::<Vec<_>>().join(", ")
}
