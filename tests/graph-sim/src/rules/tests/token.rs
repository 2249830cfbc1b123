//! A dead token, at reads as at sends.

use super::*;

#[test]
fn a_get_with_a_dead_token_is_refused_as_a_send_is_and_counted() {
    let token = |name: &str, state| Token {
        token: name.to_owned(),
        state,
        numbers: None,
        expires_at: None,
        app_id: None,
    };
    let mut world = World::new(&Options {
        numbers: [("111".to_owned(), NumberRules::default())].into(),
        tokens: vec![
            token("good", TokenState::Valid),
            token("expired", TokenState::Expired),
            token("revoked", TokenState::Revoked),
            token("unknown", TokenState::Unknown),
        ],
        ..Options::default()
    });
    let bearers = ["expired", "revoked", "unknown", "never seen", ""];
    for bearer in bearers {
        let body = text_to("1");
        let path = "/v24.0/111/messages";
        let sent = ask(&mut world, Method::Post, path, bearer, &body, 0);
        let target = "/v24.0/111?fields=health_status";
        let read = ask(&mut world, Method::Get, target, bearer, b"", 0);
        for reply in [&sent, &read] {
            assert_eq!((reply.status, code(reply)), (401, 190), "{bearer}");
        }
        let subcode = |reply: &Reply| json_of(reply)["error"]["error_subcode"].clone();
        assert_eq!(subcode(&sent), subcode(&read), "{bearer}");
    }
    let read = ask(&mut world, Method::Get, "/v24.0/111", "good", b"", 0);
    assert_eq!(read.status, 200);
    // Probes are counted whether or not they are refused.
    let stats = &world.stats(0).numbers["111"];
    assert_eq!((stats.gets, stats.received), (6, 5));
    assert_eq!(stats.rejected, [(190, 10)].into());
    let shown = serde_json::to_value(world.stats(0)).unwrap();
    assert_eq!(shown["numbers"]["111"]["gets"], 6);
}
