//! What is served, and who may ask for it.

use super::{Request, World};
use crate::errors::ApiError;
use crate::number::Number;
use crate::options::{NumberRules, Token};
use crate::proof;
use crate::query::parameter;
use crate::request::{Method, Route};
use crate::token;

impl World {
    /// Whether the number, or a number of the WABA, is served.
    pub(super) fn serves(&mut self, route: Route<'_>) -> bool {
        match route {
            Route::Messages { number }
            | Route::Marketing { number }
            | Route::Number { number }
            | Route::OnNumber { number, .. } => self.knows(number),
            Route::Templates { waba } | Route::OnAccount { waba, .. } => self.has_account(waba),
            Route::OnObject { id, .. } => self.operations.node(id).is_some(),
            Route::Node { .. } => false,
            Route::Token | Route::OnApp { .. } => true,
        }
    }

    fn has_account(&self, waba: &str) -> bool {
        self.all_rules().any(|rules| rules.waba_id == waba)
    }

    /// What an id alone stands for: an object, an account, or else a number.
    pub(super) fn resolve<'a>(&self, route: Route<'a>, method: Method) -> Route<'a> {
        let (Route::Number { number: id } | Route::Node { id }) = route else {
            return route;
        };
        let edge = "";
        let is_digits = id.bytes().all(|b| b.is_ascii_digit());
        if self.operations.has_issued(id) || self.operations.node(id).is_some() {
            Route::OnObject { id, edge }
        } else if !self.numbers.contains_key(id) && self.has_account(id) {
            Route::OnAccount { waba: id, edge }
        } else if is_digits && method == Method::Post {
            Route::OnNumber { number: id, edge }
        } else {
            route
        }
    }

    /// The account that an object is of, by its number if it is a number's.
    pub(super) fn account_of(&self, object: &str) -> String {
        let owner = self.operations.node(object).map(|(_, owner)| owner);
        let owner = owner.unwrap_or_default();
        let rules = self.numbers.get(owner).map(Number::rules);
        rules.map_or(owner, |rules| &rules.waba_id).to_owned()
    }

    /// Whether the number is served; one seen for the first time is set up.
    pub(super) fn knows(&mut self, id: &str) -> bool {
        if self.numbers.contains_key(id) {
            return true;
        }
        let any = self.serves_any();
        if any {
            self.numbers
                .insert(id.to_owned(), Number::new(self.defaults.clone()));
        }
        any
    }

    fn serves_any(&self) -> bool {
        self.options
            .any_number
            .unwrap_or(self.options.numbers.is_empty())
    }

    /// The rules of numbers yet to be seen, if they will be served.
    fn unseen(&self) -> Option<&NumberRules> {
        self.serves_any().then(|| self.defaults.rules())
    }

    /// The rules of all numbers that are served or would be.
    fn all_rules(&self) -> impl Iterator<Item = &NumberRules> {
        let seen = self.numbers.values().map(Number::rules);
        seen.chain(self.unseen())
    }

    /// The rules of the numbers that a token is good for.
    pub(super) fn rules_for(&self, token: &Token) -> Vec<&NumberRules> {
        let known = |id: &String| self.numbers.get(id).map(Number::rules);
        match &token.numbers {
            None => self.all_rules().collect(),
            Some(ids) => ids
                .iter()
                .filter_map(|id| known(id).or_else(|| self.unseen()))
                .collect(),
        }
    }

    /// How a token stands, listed or not.
    pub(super) fn token(&self, text: &str) -> &Token {
        self.tokens.get(text).unwrap_or(&self.other_tokens)
    }

    pub(super) fn token_error(
        &self,
        request: &Request<'_>,
        route: Option<Route<'_>>,
    ) -> Option<ApiError> {
        let Some(bearer) = request.bearer.filter(|bearer| !bearer.is_empty()) else {
            return Some(ApiError::no_token());
        };
        let token = self.token(bearer);
        if let Some(error) = token::refusal(token.state) {
            return Some(error);
        }
        let (verb, id) = route?.object()?;
        let sees = match route? {
            Route::Messages { number }
            | Route::Marketing { number }
            | Route::Number { number }
            | Route::OnNumber { number, .. } => {
                let numbers = token.numbers.as_ref();
                numbers.is_none_or(|numbers| numbers.iter().any(|one| one == number))
            }
            Route::Templates { waba } | Route::OnAccount { waba, .. } => {
                let rules = self.rules_for(token);
                rules.iter().any(|rules| rules.waba_id == waba)
            }
            Route::OnObject { id, .. } => {
                let (waba, rules) = (self.account_of(id), self.rules_for(token));
                rules.iter().any(|rules| rules.waba_id == waba)
            }
            Route::Token | Route::OnApp { .. } | Route::Node { .. } => true,
        };
        // To a token without access, an object does not exist.
        (!sees).then(|| ApiError::unknown_object(verb, id))
    }

    /// The app is that of the numbers concerned. Only if each of them is of an app with a
    /// secret, a proof is wanted.
    pub(super) fn proof_error(&self, request: &Request<'_>, route: Route<'_>) -> Option<ApiError> {
        let bearer = request.bearer.unwrap_or_default();
        let concerned = match route {
            Route::Messages { number }
            | Route::Marketing { number }
            | Route::Number { number }
            | Route::OnNumber { number, .. } => {
                vec![self.numbers.get(number)?.rules()]
            }
            Route::Templates { waba } | Route::OnAccount { waba, .. } => {
                let mut rules = self.rules_for(self.token(bearer));
                rules.retain(|rules| rules.waba_id == waba);
                rules
            }
            Route::OnObject { id, .. } => {
                let waba = self.account_of(id);
                let mut rules = self.rules_for(self.token(bearer));
                rules.retain(|rules| rules.waba_id == waba);
                rules
            }
            Route::Token | Route::OnApp { .. } | Route::Node { .. } => {
                self.rules_for(self.token(bearer))
            }
        };
        let secret_of = |rules: &&NumberRules| self.options.apps.get(rules.app.as_ref()?);
        let secrets: Vec<&String> = concerned.iter().map(secret_of).collect::<Option<_>>()?;
        let given = parameter(request.query, "appsecret_proof");
        let right = given.as_deref().is_some_and(|given| {
            let mut secrets = secrets.iter();
            secrets.any(|secret| proof::holds(secret, bearer, given))
        });
        (!right && !secrets.is_empty()).then(|| ApiError::wrong_proof(given.is_some()))
    }
}
