use super::*;

#[test]
fn which_media_faults_pass() {
    for passing in [
        "Downloading media from weblink failed with http code 503, status message Service Unavailable",
        "Failed to fetch the media: HTTP 500",
        "http code 429",
        "Download timed out",
        "media fetch timeout",
        "Unable to download the media",
    ] {
        assert!(fetch_failed(passing), "{passing}");
    }
    for lasting in [
        "",
        "Downloading media from weblink failed with http code 404, status message Not Found",
        "http code 403",
        "Downloaded file has mime type text/html",
        "Media file size too big, download of 599 MB",
        "Media id 500 unknown to this number",
        "Unknown error",
    ] {
        assert!(!fetch_failed(lasting), "{lasting}");
    }
}
