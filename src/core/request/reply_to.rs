//! The queue that a request wants its result in as well: AMQP's `reply_to`, as the clients of each protocol write it.

use std::borrow::Cow;

/// The name of RabbitMQ's direct replies, which have no queue.
const DIRECT: &str = "amq.rabbitmq.reply-to";

/// The prefix of a queue's name, percent-encoded, where the caller does not speak AMQP 0-9-1. Source: RabbitMQ, "AMQP 1.0
/// addresses" (v2 and v1), which 4.0 hands on as they are, and "STOMP plugin: destinations".
const PREFIXES: [&str; 4] = ["/queues/", "/queue/", "/amq/queue/", "/reply-queue/"];

/// The prefix of all queues of the dispatcher's.
const OURS: &str = "wa.";

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ReplyTo<'a> {
    Queue(Cow<'a, str>),
    /// RabbitMQ's direct reply-to: it says nothing of use about whether the reply has come through.
    Direct(&'a str),
    /// A queue that is none of the caller's: with the worker's rights he could put anything into it.
    Ours,
}

impl<'a> ReplyTo<'a> {
    /// `None`: nobody asked for a reply.
    pub fn parse(text: &'a str) -> Option<Self> {
        if text.is_empty() {
            return None;
        }
        if text.starts_with(DIRECT) {
            return Some(Self::Direct(text));
        }
        let encoded = PREFIXES.iter().find_map(|prefix| text.strip_prefix(prefix));
        let queue = encoded.map_or(Cow::Borrowed(text), decoded);
        Some(if queue.starts_with(OURS) {
            Self::Ours
        } else {
            Self::Queue(queue)
        })
    }
}

/// Percent-encoding taken off; text that is not such stays as it is.
fn decoded(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return text.into();
    }
    let bytes = text.as_bytes();
    let (mut plain, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while at < bytes.len() {
        let code = text.get(at + 1..at + 3);
        let code = code.filter(|code| bytes[at] == b'%' && !code.starts_with('+'));
        match code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            Some(byte) => {
                plain.push(byte);
                at += 3;
            }
            None => {
                plain.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8(plain).map_or(text.into(), Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn queue(name: &str) -> Option<ReplyTo<'_>> {
        Some(ReplyTo::Queue(name.into()))
    }

    #[test]
    fn a_queue_is_found_however_it_is_written() {
        for (text, name) in [
            ("answers", "answers"),
            ("/queues/answers", "answers"),
            ("/queue/answers", "answers"),
            ("/amq/queue/answers", "answers"),
            ("/reply-queue/amq.gen-x", "amq.gen-x"),
            ("/queues/my%20own%2Fanswers", "my own/answers"),
            ("/queues/%C3%A9", "é"),
            // Not encoded, or not so that it makes sense.
            ("100%25", "100%25"),
            ("/queues/100%", "100%"),
            ("/queues/%+1%zz%C3", "%+1%zz%C3"),
            ("/exchanges/x/y", "/exchanges/x/y"),
        ] {
            assert_eq!(ReplyTo::parse(text), queue(name), "{text}");
        }
        assert_eq!(ReplyTo::parse(""), None);
        let direct = "amq.rabbitmq.reply-to.g1h2AA5yZXBs";
        assert_eq!(ReplyTo::parse(direct), Some(ReplyTo::Direct(direct)));
    }

    #[test]
    fn the_dispatchers_own_queues_are_nobodys_to_name() {
        for text in [
            "wa.delay.1",
            "wa.lane.111",
            "/queues/wa.dead",
            "/queues/%77a%2Edead",
            "/queue/wa.unrouted",
            "/amq/queue/wa.lane.1",
        ] {
            assert_eq!(ReplyTo::parse(text), Some(ReplyTo::Ours), "{text}");
        }
        assert_eq!(ReplyTo::parse("water"), queue("water"));
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "\\PC{0,40}") {
            let _ = ReplyTo::parse(&text);
            let _ = ReplyTo::parse(&format!("/queues/{text}"));
        }
    }
}
