//! Access to the admin port. It has no login, so whatever a browser of somebody on the inside can be made to ask counts.

use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::net::IpAddr;
use std::sync::Arc;

/// A page of any name can have that name lead to this address, and would then read all there is as its own site (DNS rebinding). It
/// cannot have the browser ask by an IP address.
pub(super) async fn refuse_strange_hosts(
    State(hosts): State<Arc<[String]>>,
    request: Request,
    next: Next,
) -> Response {
    let asked = request.uri().authority().cloned().or_else(|| {
        let host = request.headers().get(header::HOST)?;
        host.to_str().ok()?.parse().ok()
    });
    if asked.is_some_and(|asked| is_known(&asked, &hosts)) {
        return next.run(request).await;
    }
    let why = "not asked by an IP address, localhost or a name in admin.hosts\n";
    (StatusCode::MISDIRECTED_REQUEST, why).into_response()
}

fn is_known(asked: &Authority, hosts: &[String]) -> bool {
    let host = asked.host().trim_end_matches('.').to_ascii_lowercase();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    address.parse::<IpAddr>().is_ok() || host == "localhost" || hosts.contains(&host)
}

/// Refuses to pause and resume lanes, and says why. Any page that an operator looks at could have the browser send this: of the pages
/// only our own may. Source: Fetch Metadata; every browser says `Sec-Fetch-Site` or, the older ones, `Origin`, and curl says neither.
pub(super) fn refuse_action(is_allowed: bool, headers: &HeaderMap) -> Option<Response> {
    let site = headers.get("sec-fetch-site");
    let is_browser = site.is_some() || headers.contains_key(header::ORIGIN);
    let is_own_page =
        site.is_some_and(|site| site == "same-origin") && headers.contains_key("x-requested-with");
    let why = match (is_allowed, is_browser && !is_own_page) {
        (true, false) => return None,
        (true, true) => "refused: this came from another site's page\n",
        (false, _) => "read-only: admin.actions is not set\n",
    };
    Some((StatusCode::FORBIDDEN, why).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_localhost_and_names_of_ours_are_known() {
        let hosts = ["worker-1.internal".to_owned()];
        let known = |asked: &str| is_known(&asked.parse().unwrap(), &hosts);
        let ours = [
            "127.0.0.1",
            "10.1.2.3:9464",
            "[::1]:9464",
            "[fd00::1]",
            "localhost",
            "LOCALHOST:80",
            "localhost.",
            "worker-1.internal:9464",
            "Worker-1.Internal.",
        ];
        assert_eq!(ours.into_iter().find(|asked| !known(asked)), None);
        let strange = [
            "evil.example",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "worker-1",
            "worker-2.internal:9464",
            "2130706433",
        ];
        assert_eq!(strange.into_iter().find(|asked| known(asked)), None);
    }

    #[test]
    fn lanes_are_paused_only_where_that_is_allowed_and_never_by_other_pages() {
        let refused = |is_allowed: bool, named: &[(&'static str, &'static str)]| {
            let headers = named.iter().map(|(name, value)| {
                (
                    name.parse().unwrap(),
                    header::HeaderValue::from_static(value),
                )
            });
            refuse_action(is_allowed, &headers.collect()).is_some()
        };
        let own = [
            ("sec-fetch-site", "same-origin"),
            ("x-requested-with", "page"),
        ];
        assert!(!refused(true, &[]), "curl");
        assert!(!refused(true, &own));
        assert!(refused(true, &own[..1]));
        assert!(refused(true, &[("sec-fetch-site", "cross-site"), own[1]]));
        assert!(refused(true, &[("origin", "http://a.example")]));
        assert!(refused(false, &[]) && refused(false, &own));
    }
}
