//! `appsecret_proof`: hex(HMAC-SHA256(key = app secret, message = access token)).

use ring::hmac;

/// Whether `given` proves that the caller of `token` knows the app's secret.
pub(crate) fn holds(secret: &str, token: &str, given: &str) -> bool {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    unhex(given).is_some_and(|given| hmac::verify(&key, token.as_bytes(), &given).is_ok())
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |c: u8| {
        char::from(c)
            .to_digit(16)
            .and_then(|digit| u8::try_from(digit).ok())
    };
    if !text.len().is_multiple_of(2) {
        return None;
    }
    text.as_bytes()
        .chunks(2)
        .map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_case_of_rfc_4231_holds() {
        let proof = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        let message = "what do ya want for nothing?";
        assert!(holds("Jefe", message, proof));
        assert!(!holds("jefe", message, proof));
        assert!(!holds("Jefe", message, ""));
        assert!(!holds("Jefe", message, "5bd"));
    }
}
