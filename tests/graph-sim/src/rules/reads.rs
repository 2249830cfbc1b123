//! Reads that are about no number.

use super::{Request, World};
use crate::errors::ApiError;
use crate::operations::Of;
use crate::query::parameter;
use crate::token;
use std::collections::BTreeSet;

impl World {
    pub(super) fn debug_token(&self, request: &Request<'_>) -> Result<Vec<u8>, ApiError> {
        let input = parameter(request.query, "input_token").filter(|input| !input.is_empty());
        let Some(input) = input else {
            return Err(ApiError::parameter("The parameter input_token is required"));
        };
        let token = self.token(&input);
        let rules = self.rules_for(token);
        let apps: BTreeSet<&str> = rules.iter().filter_map(|one| one.app.as_deref()).collect();
        let application = match apps.first() {
            Some(app) if apps.len() == 1 => app,
            _ => "Simulated",
        };
        let waba_ids = rules.iter().map(|one| one.waba_id.as_str()).collect();
        let waba_ids = token.numbers.is_some().then_some(&waba_ids);
        let answer = token::describe(token, application, waba_ids);
        Ok(answer.to_string().into_bytes())
    }

    pub(super) fn list_templates(
        &self,
        waba: &str,
        request: &Request<'_>,
    ) -> Result<Vec<u8>, ApiError> {
        let call = self.call(Of::Account, waba, "message_templates", request);
        let page = self.operations.list_templates(&call)?;
        Ok(page.to_string().into_bytes())
    }
}
