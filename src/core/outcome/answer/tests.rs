use super::*;

/// Bodies to cut, flip and splice: the shapes that the reader knows, and some it does not.
const SEEDS: [&str; 7] = [
    r#"{"messaging_product":"whatsapp","contacts":[{"input":"+34 600 11 22 33","wa_id":"34600112233"}],"messages":[{"id":"wamid.EXAMPLEa1b2c3","message_status":"accepted"}]}"#,
    r#"{"error":{"message":"(#131056) pair rate limit hit","type":"OAuthException","code":131056,"error_data":{"messaging_product":"whatsapp","details":"é✓ text"},"error_subcode":2494071,"fbtrace_id":"AbC"}}"#,
    r#"{"error":{"code":"190","error_data":"text","is_transient":true},"messages":[]}"#,
    r#"{"success":true,"id":"wamid.X"}"#,
    "<html><body>Bad Gateway</body></html>",
    r#"[[[[{"a":1e400}]]]]"#,
    "",
];

fn error(json: &str) -> ApiError {
    let body = AnswerBody::read(json.as_bytes());
    let AnswerBody::Error(error) = body else {
        panic!("{json}: {body:?}");
    };
    error
}

#[test]
fn an_error_is_read_whole() {
    let read = error(SEEDS[1]);
    let expected = ApiError {
        code: 131056,
        subcode: Some(2494071),
        title: Some("(#131056) pair rate limit hit".to_owned()),
        details: Some("é✓ text".to_owned()),
        user_title: None,
        user_msg: None,
        fbtrace_id: Some("AbC".to_owned()),
        is_transient: false,
    };
    assert_eq!(read, expected);
    assert!(error(SEEDS[2]).is_transient);
}

#[test]
fn texts_are_capped_by_characters() {
    let long = "é".repeat(5000);
    let read = error(&format!(
        r#"{{"error":{{"code":1,"message":"{long}","fbtrace_id":"{long}","error_data":{{"details":"{long}"}}}}}}"#
    ));
    assert_eq!(read.title.unwrap().chars().count(), MAX_TEXT_CHARS);
    assert_eq!(read.details.unwrap().chars().count(), MAX_TEXT_CHARS);
    assert_eq!(read.fbtrace_id.unwrap().chars().count(), MAX_TRACE_CHARS);
}

#[test]
fn the_fast_reader_agrees_with_the_thorough_one() {
    let bodies = [
        SEEDS[0],
        r#"{"messages":[{"id":"wamid.A"}]}"#,
        r#"{"messages":[{"id":"wamid.\u0041\n","message_status":""}],"contacts":[{"wa_id":""}]}"#,
        r#"{"messages":[{"id":"wamid.A","message_status":null}],"contacts":null,"error":null}"#,
        r#"{"messages":[{"id":"wamid.A"}],"contacts":[{"input":"x","user_id":"ES.1"}],"more":{"a":[1]}}"#,
    ];
    for body in bodies {
        let usual = read_usual(body.as_bytes()).expect(body);
        let thorough = read_any(body.as_bytes());
        assert_eq!(AnswerBody::Accepted(usual), thorough, "{body}");
    }
}

#[test]
fn the_fast_reader_leaves_the_rest_to_the_thorough_one() {
    let two = r#"{"messages":[{"id":"wamid.A"},{"id":"wamid.B"}],"contacts":[]}"#;
    assert!(read_usual(two.as_bytes()).is_none());
    let expected = Accepted {
        wamid: Some("wamid.A".to_owned()),
        ..Accepted::default()
    };
    assert_eq!(
        AnswerBody::read(two.as_bytes()),
        AnswerBody::Accepted(expected)
    );
}

#[test]
fn deep_nesting_is_no_stack_overflow() {
    for open in [
        "[",
        r#"{"error":"#,
        r#"{"error":{"code":"#,
        r#"{"messages":["#,
    ] {
        assert_eq!(
            AnswerBody::read(open.repeat(100_000).as_bytes()),
            AnswerBody::Unreadable
        );
    }
    let nested = format!(
        r#"{{"messages":[{{"id":"wamid.A","x":{}{}}}]}}"#,
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    // Whatever it is read as, it is read.
    let _read: AnswerBody = AnswerBody::read(nested.as_bytes());
}

#[test]
fn any_bytes_are_read() {
    let mut drawn = Drawn(0x5eed);
    for round in 0..200_000 {
        let mut bytes = SEEDS[drawn.below(SEEDS.len())].as_bytes().to_vec();
        for _ in 0..drawn.below(4) {
            drawn.spoil(&mut bytes);
        }
        let body = AnswerBody::read(&bytes);
        assert!(well_formed(&body), "round {round}: {bytes:?}");
    }
}

#[test]
fn noise_is_read() {
    let mut drawn = Drawn(0xca5e);
    for _ in 0..50_000 {
        let length = drawn.below(64);
        let bytes: Vec<u8> = (0..length).map(|_| drawn.byte()).collect();
        assert!(well_formed(&AnswerBody::read(&bytes)), "{bytes:?}");
    }
}

fn well_formed(body: &AnswerBody) -> bool {
    match body {
        AnswerBody::Accepted(accepted) => accepted.wamid.as_ref().is_some_and(|id| !id.is_empty()),
        AnswerBody::Error(error) => [
            &error.title,
            &error.details,
            &error.user_title,
            &error.user_msg,
        ]
        .into_iter()
        .flatten()
        .all(|text| text.chars().count() <= MAX_TEXT_CHARS),
        AnswerBody::Success | AnswerBody::Unreadable => true,
    }
}

#[test]
fn debug_prints_nothing_private() {
    let secret = "34600112233";
    let accepted = Accepted {
        wamid: Some(secret.to_owned()),
        wa_id: Some(secret.to_owned()),
        user_id: Some(secret.to_owned()),
        message_status: Some("accepted".to_owned()),
        whole: Response::of(&format!("{{\"to\":\"{secret}\"}}")).map(|response| {
            let undone = None;
            Box::new(Whole { response, undone })
        }),
    };
    let error = ApiError {
        code: 131009,
        title: Some(secret.to_owned()),
        details: Some(secret.to_owned()),
        user_title: Some(secret.to_owned()),
        user_msg: Some(secret.to_owned()),
        ..ApiError::default()
    };
    let answer = |body| {
        Reply::Answered(Answer {
            usage: Usage::default(),
            status: 200,
            retry_after_s: None,
            body,
        })
    };
    let printed = format!(
        "{:?} {:#?}",
        answer(AnswerBody::Accepted(accepted)),
        answer(AnswerBody::Error(error))
    );
    assert!(!printed.contains(secret), "{printed}");
    assert!(printed.contains("131009") && printed.contains("***"));
}

/// A small generator (splitmix64), so that a failure repeats and no dependency is needed.
struct Drawn(u64);

impl Drawn {
    fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.draw() % end as u64).unwrap()
    }

    fn byte(&mut self) -> u8 {
        self.draw().to_le_bytes()[0]
    }

    /// Cuts, flips, repeats or splices.
    fn spoil(&mut self, bytes: &mut Vec<u8>) {
        let at = self.below(bytes.len() + 1);
        match self.below(5) {
            0 => bytes.truncate(at),
            1 if at < bytes.len() => bytes[at] = self.byte(),
            2 if at < bytes.len() => bytes[at] = b"{}[]\":,0e-\\tn"[self.below(13)],
            3 => {
                let other = SEEDS[self.below(SEEDS.len())].as_bytes();
                let from = self.below(other.len() + 1);
                bytes.splice(at..at, other[from..].iter().copied());
            }
            _ => {
                let tail = bytes[at..].to_vec();
                bytes.extend(tail);
            }
        }
    }
}

#[test]
fn usage_is_the_highest_of_the_accounts_budget_else_the_apps() {
    let business = br#"{"1":[{"type":"whatsapp","call_count":7,"total_cputime":92,"total_time":3,"estimated_time_to_regain_access":0}],
        "2":[{"call_count":1,"estimated_time_to_regain_access":4},{"type":"whatsapp_business_management","total_time":99}]}"#;
    let app = br#"{"call_count":12,"total_cputime":95.2,"total_time":4}"#;
    for (business, app, percent, regain_minutes) in [
        (None, None, None, None),
        (Some(&business[..]), None, Some(92), Some(4)),
        (None, Some(&app[..]), Some(96), None),
        (Some(&business[..]), Some(&app[..]), Some(92), Some(4)),
        (Some(&b"{"[..]), Some(&b"[]"[..]), None, None),
        (
            Some(&br#"{"1":{},"2":[1,null,{"call_count":"7"}]}"#[..]),
            None,
            None,
            None,
        ),
    ] {
        let expected = Usage {
            percent,
            regain_minutes,
        };
        assert_eq!(Usage::read(business, app), expected);
    }
}
