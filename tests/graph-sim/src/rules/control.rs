//! What tests and operators of the simulator see and change.

use super::World;
use crate::ledger::{Page, Stats};
use crate::number::Number;
use crate::options::{NumberChange, NumberRules, Token};
use crate::request::{Method, route};
use crate::script::{Running, Script};

impl World {
    /// Replaces the script; its times and counts start now.
    pub fn set_script(&mut self, script: Script, now_us: u64) {
        self.running = Running::new(script, now_us);
    }

    pub fn script(&self) -> &Script {
        self.running.script()
    }

    /// Changes numbers' rules and adds numbers. Nothing changes if any of it is wrong.
    pub fn change_numbers(&mut self, changes: &[NumberChange], now_us: u64) -> Result<(), String> {
        for change in changes {
            let rules = self.rules_of(&change.phone_number_id);
            rules
                .changed(&change.changes)
                .map_err(|error| format!("number {}: {error}", change.phone_number_id))?;
        }
        for change in changes {
            if change.phone_number_id == "*" {
                self.defaults = self.defaults.changed(&change.changes)?;
                for number in self.numbers.values_mut() {
                    let rules = number.rules().changed(&change.changes)?;
                    number.set_rules(rules, now_us);
                }
            } else {
                let id = &change.phone_number_id;
                let rules = self.rules_of(id).changed(&change.changes)?;
                self.set_rules(id, rules, now_us);
            }
        }
        Ok(())
    }

    /// Gives a number these rules from `now_us` on, or adds it. What it sent before
    /// counts on.
    pub fn set_rules(&mut self, id: &str, rules: NumberRules, now_us: u64) {
        match self.numbers.get_mut(id) {
            Some(number) => number.set_rules(rules, now_us),
            None => drop(self.numbers.insert(id.to_owned(), Number::new(rules))),
        }
    }

    /// The rules in force for a number, or those it would get.
    pub fn rules_of(&self, id: &str) -> &NumberRules {
        self.numbers.get(id).map_or(&self.defaults, Number::rules)
    }

    /// Adds tokens or changes how they stand; `*` stands for all that are not
    /// listed. Left-out numbers stay as they are.
    pub fn set_tokens(&mut self, tokens: Vec<Token>) {
        for token in tokens {
            if token.token == "*" {
                self.other_tokens = token.state;
                continue;
            }
            match self.tokens.get_mut(&token.token) {
                Some(known) => {
                    known.state = token.state;
                    if token.numbers.is_some() {
                        known.numbers = token.numbers;
                    }
                }
                None => drop(self.tokens.insert(token.token.clone(), token)),
            }
        }
    }

    /// Back to what the options say, with empty limits, ledger and counts. Ids
    /// stay unique, and what is in flight stays counted.
    pub fn reset(&mut self, now_us: u64) {
        let mut fresh = Self::new(&self.options);
        fresh.set_script(self.options.script.clone(), now_us);
        std::mem::swap(&mut fresh.ledger, &mut self.ledger);
        fresh.ledger.reset();
        fresh.minted = self.minted;
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
        self.ledger.enter(number);
    }

    /// Notes that a request was answered or given up.
    pub fn leave(&mut self, method: Method, path: &str) {
        let number = self.served(method, path);
        self.ledger.leave(number);
    }

    fn served<'a>(&mut self, method: Method, path: &'a str) -> Option<&'a str> {
        route(method, path)
            .map(|route| route.id)
            .filter(|id| self.knows(id))
    }
}
