//! What tests and operators of the simulator see and change.

use super::World;
use crate::change::{Change, Whose};
use crate::ledger::{Page, Stats};
use crate::number::Number;
use crate::operations::Template;
use crate::options::{NumberRules, Token};
use crate::request::{Method, Route, route};
use crate::script::{Running, Script};
use crate::standing::Standing;
use std::collections::BTreeMap;

/// How all numbers are to stand, while it is not sure that all changes are right.
struct Draft {
    defaults: Standing,
    numbers: BTreeMap<String, Standing>,
}

impl Draft {
    /// The standings that a change is about, with those of numbers yet to be seen if
    /// they would be of them. A number that is not there is added.
    fn of(&mut self, whose: &Whose) -> Result<Vec<&mut Standing>, String> {
        if let Whose::Number(id) = whose {
            let defaults = &self.defaults;
            let added = || defaults.clone();
            return Ok(vec![self.numbers.entry(id.clone()).or_insert_with(added)]);
        }
        let all = self.numbers.values_mut().chain([&mut self.defaults]);
        let of_them: Vec<_> = all.filter(|one| whose.holds_of(one.rules())).collect();
        if of_them.is_empty() {
            return Err(format!("{whose} has no number"));
        }
        Ok(of_them)
    }
}

impl World {
    /// Replaces the script; its times and counts start now.
    pub fn set_script(&mut self, script: Script, now_us: u64) {
        self.running = Running::new(script, now_us);
    }

    pub fn script(&self) -> &Script {
        self.running.script()
    }

    /// Changes numbers' rules and adds numbers. Nothing changes if any of it is wrong.
    pub fn change_numbers(&mut self, changes: &[Change], now_us: u64) -> Result<(), String> {
        let mut draft = self.draft();
        for Change { whose, changes } in changes {
            for standing in draft.of(whose)? {
                standing
                    .change(changes, now_us)
                    .map_err(|error| format!("{whose}: {error}"))?;
            }
        }
        self.adopt(draft, now_us);
        Ok(())
    }

    /// Changes the rules of all these numbers from `now_us` on, in code. A block or an
    /// upgrade that differs starts now. Nothing changes if there is no such number.
    pub fn change_rules(
        &mut self,
        whose: &Whose,
        now_us: u64,
        change: impl Fn(&mut NumberRules),
    ) -> Result<(), String> {
        self.settle(now_us);
        let mut draft = self.draft();
        for standing in draft.of(whose)? {
            let mut rules = standing.rules().clone();
            change(&mut rules);
            standing.replace(rules, now_us);
        }
        self.adopt(draft, now_us);
        Ok(())
    }

    /// Gives a number these rules from `now_us` on, or adds it. What it sent before
    /// counts on. A block or an upgrade that differs starts now.
    pub fn set_rules(&mut self, id: &str, rules: NumberRules, now_us: u64) {
        let known = self.numbers.get(id).map(Number::standing);
        let mut standing = known.unwrap_or(&self.defaults).clone();
        standing.replace(rules, now_us);
        self.stand(id.to_owned(), standing, now_us);
    }

    /// The rules in force for a number, or those it would get, when it was last asked
    /// or changed; [`World::settle`] first for those of now.
    pub fn rules_of(&self, id: &str) -> &NumberRules {
        self.numbers
            .get(id)
            .map_or(self.defaults.rules(), Number::rules)
    }

    /// Ends every block and upgrade that has lasted its time.
    pub fn settle(&mut self, now_us: u64) {
        self.defaults.settle(now_us);
        for number in self.numbers.values_mut() {
            number.settle(now_us);
        }
    }

    fn draft(&self) -> Draft {
        let standing_of =
            |(id, number): (&String, &Number)| (id.clone(), number.standing().clone());
        Draft {
            defaults: self.defaults.clone(),
            numbers: self.numbers.iter().map(standing_of).collect(),
        }
    }

    fn adopt(&mut self, draft: Draft, now_us: u64) {
        self.defaults = draft.defaults;
        for (id, standing) in draft.numbers {
            self.stand(id, standing, now_us);
        }
    }

    fn stand(&mut self, id: String, standing: Standing, now_us: u64) {
        match self.numbers.get_mut(&id) {
            Some(number) => number.restand(standing, now_us),
            None => drop(self.numbers.insert(id, Number::new(standing))),
        }
    }

    /// Adds tokens or changes how they stand; `*` stands for all that are not
    /// listed, which are good for all numbers. Left-out numbers and expiries stay as
    /// they are.
    pub fn set_tokens(&mut self, tokens: Vec<Token>) {
        for token in tokens {
            let is_listed = token.token != "*";
            let known = if is_listed {
                self.tokens.get_mut(&token.token)
            } else {
                Some(&mut self.other_tokens)
            };
            let Some(known) = known else {
                self.tokens.insert(token.token.clone(), token);
                continue;
            };
            known.state = token.state;
            known.expires_at = token.expires_at.or(known.expires_at);
            if is_listed && token.numbers.is_some() {
                known.numbers = token.numbers;
            }
        }
    }

    /// Adds message templates or changes their status.
    pub fn set_templates(&mut self, templates: Vec<Template>) {
        for template in templates {
            self.operations.set_template(template);
        }
    }

    /// Where clients reach this API, for the links in its answers; without a slash at
    /// the end.
    pub fn set_base_url(&mut self, url: &str) {
        url.clone_into(&mut self.base_url);
    }

    /// Back to what the options say, with empty limits, ledger and counts. Ids
    /// stay unique, and what is in flight stays counted.
    pub fn reset(&mut self, now_us: u64) {
        let mut fresh = Self::starting(&self.options, now_us);
        std::mem::swap(&mut fresh.ledger, &mut self.ledger);
        fresh.ledger.reset();
        fresh.minted = self.minted;
        std::mem::swap(&mut fresh.base_url, &mut self.base_url);
        *self = fresh;
    }

    /// Up to `limit` ledger entries after sequence number `after`.
    pub fn ledger(&self, after: u64, limit: usize) -> Page {
        self.ledger.page(after, limit)
    }

    /// How many messages were accepted since the last reset.
    pub fn accepted(&self) -> u64 {
        self.ledger.accepted()
    }

    pub fn stats(&self, now_us: u64) -> Stats {
        Stats {
            struck: self.running.struck().to_vec(),
            ..self.ledger.stats(now_us)
        }
    }

    /// Notes that a request is in flight, until [`World::leave`] with the same path.
    pub fn enter(&mut self, method: Method, path: &str) {
        let number = self.served(method, path);
        self.ledger.enter(number, method == Method::Post);
    }

    /// Notes that a request was answered or given up.
    pub fn leave(&mut self, method: Method, path: &str) {
        let number = self.served(method, path);
        self.ledger.leave(number, method == Method::Post);
    }

    fn served<'a>(&mut self, method: Method, path: &'a str) -> Option<&'a str> {
        route(method, path)
            .and_then(Route::number)
            .filter(|id| self.knows(id))
    }
}
