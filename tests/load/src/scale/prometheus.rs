//! What a real Prometheus says, asked as KEDA asks it.

use anyhow::Result;
use harness::http::{self, encoded};
use serde::Deserialize;

#[derive(Deserialize)]
struct Answer {
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    result: Vec<Series>,
}

#[derive(Deserialize)]
struct Series {
    value: (f64, String),
}

/// The values of all series of an instant query, in Prometheus' order.
pub(crate) async fn values(base: &str, query: &str) -> Result<Vec<f64>> {
    let path = format!("/api/v1/query?query={}", encoded(query));
    let answer: Answer = http::get(base, &path).await?;
    let series = answer.data.result.into_iter();
    let mut values = vec![];
    for Series { value: (_, text) } in series {
        values.push(text.parse()?);
    }
    Ok(values)
}

/// Of a query that has one series; none while there is no data.
pub(crate) async fn value(base: &str, query: &str) -> Result<Option<f64>> {
    Ok(values(base, query).await?.first().copied())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_encoded_and_answers_read() {
        assert_eq!(
            encoded("job:a{b=\"c\"} > 0"),
            "job:a%7Bb%3D%22c%22%7D%20%3E%200"
        );
        let answer: Answer = serde_json::from_str(
            r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{"job":"a"},"value":[1.5,"4"]}]}}"#,
        )
        .unwrap();
        assert_eq!(answer.data.result[0].value.1, "4");
    }
}
