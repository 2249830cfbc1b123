//! Operations that are no messages, and the calls that they use of their account's.

use super::{Answer, Request, World};
use crate::errors::ApiError;
use crate::node;
use crate::number::Number;
use crate::operations::{self, Of};
use crate::options::NumberRules;
use crate::reply::Reply;
use crate::request::Route;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// All that an account's list says of its numbers.
const OF_NUMBERS: &str = "fields=id,verified_name,display_phone_number,code_verification_status,quality_rating,platform_type,\
                          throughput,status,name_status,account_mode,health_status,new_display_name,conversational_automation";

impl World {
    /// What is asked of an operation.
    pub(super) fn call<'a>(
        &self,
        of: Of,
        id: &'a str,
        edge: &'a str,
        request: &Request<'a>,
    ) -> operations::Call<'a> {
        let owner = match of {
            Of::Object(_) => self.operations.node(id).map_or(id, |(_, owner)| owner),
            Of::Number | Of::Account | Of::App => id,
        };
        let rules = self.numbers.get(owner).map(Number::rules);
        let rules = rules.or_else(|| self.rules_in(owner));
        operations::Call {
            method: request.method,
            of,
            id,
            owner: owner.to_owned(),
            edge,
            given: operations::parameters(request),
            file: operations::file(request),
            query: request.query,
            rules: rules.unwrap_or(self.defaults.rules()).clone(),
            numbers: if edge == "phone_numbers" {
                self.list_numbers(id)
            } else {
                vec![]
            },
            link: format!("{}{}", self.base_url, request.path),
            token: request.bearer.unwrap_or_default(),
        }
    }

    /// The rules of a number of an account, which are like those of its others.
    fn rules_in(&self, waba: &str) -> Option<&NumberRules> {
        let mut all = self.numbers.values().map(Number::rules);
        all.find(|rules| rules.waba_id == waba)
    }

    fn list_numbers(&self, waba: &str) -> Vec<Value> {
        let numbers: BTreeMap<&String, &Number> = self.numbers.iter().collect();
        let of_it = numbers
            .into_iter()
            .filter(|(_, number)| number.rules().waba_id == waba);
        let shown = of_it.filter_map(|(id, number)| {
            let set = self.operations.of_number(id);
            let shown = node::describe(id, number.rules(), &set, OF_NUMBERS).ok()?;
            serde_json::from_slice(&shown).ok()
        });
        shown.collect()
    }

    /// Performs an operation, whose answer may be both: done and refused.
    pub(super) fn operate(
        &mut self,
        of: Of,
        id: &str,
        edge: &str,
        request: &Request<'_>,
    ) -> Answer {
        let call = self.call(of, id, edge, request);
        match self.operations.perform(&call) {
            Ok((status, body)) => Answer {
                status,
                body: body.to_string().into_bytes(),
                error: None,
            },
            Err(error) => {
                let number = (of == Of::Number).then_some(id);
                self.ledger.reject(number, error.code);
                self.refusal(error)
            }
        }
    }

    /// The account and app whose calls a request uses, and how many they may make in an hour.
    fn budget_of(&self, route: Route<'_>) -> Option<(String, String, u32)> {
        let of_number = |number: &str| self.numbers.get(number).map(Number::rules);
        let rules = match route {
            Route::Number { number } | Route::OnNumber { number, .. } => of_number(number),
            Route::Templates { waba } | Route::OnAccount { waba, .. } => self.rules_in(waba),
            Route::OnObject { id, .. } => self.rules_in(&self.account_of(id)),
            Route::Messages { .. }
            | Route::Marketing { .. }
            | Route::Token
            | Route::OnApp { .. }
            | Route::Node { .. } => return None,
        };
        // Before any of its numbers is seen, an account stands as the numbers yet to be seen.
        let rules = rules.unwrap_or(self.defaults.rules());
        let limit = rules.hourly_calls()?;
        let app = rules.app.clone().unwrap_or_default();
        Some((rules.waba_id.clone(), app, limit))
    }

    /// Charges the account's budget, or says that it is used up.
    pub(super) fn budget_error(&mut self, route: Route<'_>, now_us: u64) -> Option<ApiError> {
        let (waba, app, limit) = self.budget_of(route)?;
        let is_left = self.budgets.charge((waba, app), limit, now_us);
        (!is_left).then(|| ApiError::of(80_008))
    }

    /// Says in a header how much of the budget is used, unless the number's own usage does.
    pub(super) fn tell_budget(&mut self, route: Route<'_>, reply: &mut Reply, now_us: u64) {
        const NAME: &str = "x-business-use-case-usage";
        if reply.headers.iter().any(|(name, _)| name == NAME) {
            return;
        }
        if let Some((waba, app, limit)) = self.budget_of(route) {
            let (percent, regain_minutes) = self.budgets.usage(&(waba.clone(), app), limit, now_us);
            let usage = json!({ waba: [{
                "type": "whatsapp_business_management", "call_count": percent, "total_cputime": 1, "total_time": 1,
                "estimated_time_to_regain_access": regain_minutes,
            }] });
            reply.headers.push((NAME.into(), usage.to_string()));
        }
    }

    /// Files that a number has uploaded, and their bytes.
    pub fn uploads(&self, number: &str) -> (u64, u64) {
        self.operations.uploads(number)
    }

    /// Loses what a number has uploaded, as Meta does after 30 days: how many there were.
    pub fn forget_media(&mut self, number: &str) -> usize {
        self.operations.forget_media(number)
    }

    /// Users who have not written for a day, and so cannot be blocked.
    pub fn set_strangers(&mut self, strangers: BTreeSet<String>) {
        self.operations.set_strangers(strangers);
    }

    /// Somebody asks to join a group: the id of that request.
    pub fn ask_to_join(&mut self, group: &str, user: &str) -> String {
        self.operations.ask_to_join(group, user)
    }

    /// Calls of operations, such as `POST block_users`, that were let in.
    pub fn operations(&self) -> BTreeMap<String, u64> {
        self.operations.done().clone()
    }
}
