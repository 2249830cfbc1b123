//! What may stand in header `tag`.

use super::*;

#[test]
fn tags_are_short_texts_and_few() {
    let (longest, too_long) = ("ü".repeat(64), "ü".repeat(65));
    let text = |text: &'static str| Header::Text(text.as_bytes());
    let refused =
        "/@amqp/headers/tag must be a text of 1 to 64 characters, or a list of at most 8 of them";
    for (tags, expected) in [
        (vec![], vec![]),
        (vec![text("spring sale")], vec![]),
        (vec![text("a"); 8], vec![]),
        (vec![Header::Text(longest.as_bytes())], vec![]),
        (vec![Header::Text(too_long.as_bytes())], vec![refused]),
        (vec![text("a"); 9], vec![refused]),
        (vec![text("")], vec![refused]),
        (vec![Header::Text(&[0xff])], vec![refused]),
        (vec![text("a"), Header::Int(7)], vec![refused]),
        (vec![Header::EmptyTable], vec![refused]),
    ] {
        let tagged = Inbound { tags, ..sound() };
        check(TEXT, tagged, &expected);
    }
}
