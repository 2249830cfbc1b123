//! The headers of answers, other than the content's.

use super::World;
use crate::errors::ApiError;
use crate::number::Number;
use crate::options::Usage;
use std::borrow::Cow;

type Headers = Vec<(Cow<'static, str>, String)>;

impl World {
    /// What goes with every answer for that number.
    pub(super) fn headers(
        &mut self,
        id: Option<&str>,
        error: Option<&ApiError>,
        now_us: u64,
    ) -> Headers {
        let mut headers = Vec::new();
        if let Some(error) = error {
            headers.push(("www-authenticate".into(), error.www_authenticate()));
            if let (Some(seconds), true) = (self.options.retry_after_s, is_throttle(error.code)) {
                headers.push(("retry-after".into(), seconds.to_string()));
            }
        }
        if let Some(number) = id.and_then(|id| self.numbers.get_mut(id)) {
            push_usage(&mut headers, number, self.options.usage_headers, now_us);
        }
        headers
    }
}

/// The usage that is set for the number, or if asked for what its throughput uses.
fn push_usage(headers: &mut Headers, number: &mut Number, derived: bool, now_us: u64) {
    let usage = number.rules().usage.unwrap_or_default();
    let percent = match usage.business_percent {
        Some(percent) => Some(u64::from(percent)),
        None => derived.then(|| number.usage_percent(now_us)),
    };
    if let Some(percent) = percent {
        let business = business_usage(&number.rules().waba_id, percent, usage);
        headers.push(("x-business-use-case-usage".into(), business));
    }
    if let Some(percent) = usage.app_percent {
        let app = format!(r#"{{"call_count":{percent},"total_cputime":1,"total_time":1}}"#);
        headers.push(("x-app-usage".into(), app));
    }
}

fn business_usage(waba_id: &str, percent: u64, usage: Usage) -> String {
    let regain_minutes = usage.regain_minutes;
    format!(
        r#"{{"{waba_id}":[{{"type":"whatsapp","call_count":{percent},"total_cputime":1,"total_time":1,"estimated_time_to_regain_access":{regain_minutes}}}]}}"#
    )
}

fn is_throttle(code: i64) -> bool {
    matches!(code, 4 | 80007 | 80008 | 130429 | 131048 | 131056 | 131057)
}
