use super::super::Rules;
use super::*;

#[test]
fn an_override_of_a_code_leaves_its_subcodes() {
    let rules = Rules::new(vec![Override::new(100, Class::Transient)]);
    let class = |subcode| rules.row(100, subcode).unwrap().effect.class();
    assert_eq!(class(None), Class::Transient);
    assert_eq!(class(Some(1)), Class::Transient);
    assert_eq!(class(Some(33)), Class::Blocked);
}

#[test]
fn an_override_keeps_what_it_does_not_say() {
    let effect = |wish: Override| {
        let code = wish.code;
        Rules::new(vec![wish]).row(code, None).unwrap().effect
    };
    let mut more = Override::new(131000, Class::Transient);
    more.max_retries = Some(7);
    let expected = Effect::Transient {
        scope: Scope::Lane,
        max_retries: Some(7),
        min_delay_s: None,
        proves_unsent: false,
        then_invalid: false,
    };
    assert_eq!(effect(more), expected);

    let mut wider = Override::new(131048, Class::Blocked);
    wider.scope = Some(Scope::App);
    let Effect::Blocked {
        scope, is_penalty, ..
    } = effect(wider)
    else {
        panic!("not a block");
    };
    assert!(scope == Scope::App && is_penalty);

    let mut parked = Override::new(999_999, Class::Policy);
    parked.retry_not_before_s = Some(60);
    let expected = Effect::Refused {
        class: Class::Policy,
        scope: Scope::Message,
        retry_not_before_s: Some(60),
    };
    assert_eq!(effect(parked), expected);
}

#[test]
fn an_override_cannot_throttle_a_message() {
    for (class, scope) in [
        (Class::Throttled, Scope::Message),
        (Class::Blocked, Scope::Pair),
        (Class::Blocked, Scope::Template),
        (Class::Transient, Scope::Template),
        (Class::Undeliverable, Scope::Lane),
    ] {
        let mut wish = Override::new(999_999, class);
        wish.scope = Some(scope);
        assert!(wish.fault().is_some(), "{class:?} {scope:?}");
        let rules = Rules::new(vec![wish]);
        let effect = rules.row(999_999, None).unwrap().effect;
        assert_eq!(effect.class(), class);
        assert_ne!(effect.scope(), scope);
    }
}

#[test]
fn an_override_says_nothing_that_would_do_nothing() {
    let mut wish = Override::new(131000, Class::Transient);
    wish.max_retries = Some(1);
    wish.min_delay_s = Some(1);
    wish.proves_unsent = Some(true);
    assert_eq!(wish.fault(), None);
    wish.pause_s = Some(1);
    assert_eq!(wish.fault(), Some("pause_s needs class throttled"));

    let mut wish = Override::new(131048, Class::Throttled);
    wish.pause_s = Some(1);
    assert_eq!(wish.fault(), None);
    wish.second_recipient = Some(true);
    assert!(wish.fault().is_some());
}
