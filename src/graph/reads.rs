//! Reads of the API beside sending: whether a number can send, and, slowly, how it sees numbers, tokens and templates.
//! Everything but sending needs the token's permission `whatsapp_business_management`.

use super::{Graph, prove};
use crate::core::fleet::holds::Health;
use crate::core::fleet::number::{NumberState, TEMPLATE_STATUSES, TemplateCounts, word};
use crate::core::fleet::readers::TEMPLATES_PER_READ;
use crate::core::outcome::answer::AnswerBody;
use crate::core::request::message::LaneId;
use crate::credentials::Token;
use anyhow::Context;
use bytes::Bytes;
use reqwest::header::AUTHORIZATION;
use reqwest::{StatusCode, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// Pages of [`TEMPLATES_PER_READ`] at most: an account has 6,000 templates at most. Source: Meta, "Templates".
const TEMPLATE_PAGES_MAX: usize = 24;

/// The API's view of a number.
#[derive(Debug, Deserialize)]
struct NumberFields {
    throughput: Option<Throughput>,
    #[serde(default)]
    is_on_biz_app: bool,
    quality_rating: Option<String>,
    status: Option<String>,
    whatsapp_business_manager_messaging_limit: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Throughput {
    level: String,
}

impl From<NumberFields> for NumberState {
    fn from(fields: NumberFields) -> Self {
        let level = fields.throughput.map(|throughput| throughput.level);
        Self::read(
            fields.quality_rating.as_deref(),
            fields.status.as_deref(),
            level.as_deref(),
            fields.whatsapp_business_manager_messaging_limit.as_deref(),
            fields.is_on_biz_app,
        )
    }
}

#[derive(Deserialize)]
struct HealthFields {
    health_status: Option<HealthStatus>,
}

#[derive(Deserialize)]
struct HealthStatus {
    can_send_message: String,
}

/// The API's view of a token. Source: Graph API, "Debug token".
#[derive(Debug, Deserialize)]
pub struct TokenState {
    pub is_valid: bool,
    /// Unix seconds; 0: never.
    #[serde(default)]
    pub expires_at: u64,
    /// The Meta app that it belongs to.
    pub app_id: Option<String>,
}

#[derive(Deserialize)]
struct Debugged {
    data: TokenState,
}

#[derive(Deserialize)]
struct TemplatePage {
    data: Vec<TemplateFields>,
    paging: Option<Paging>,
}

#[derive(Deserialize)]
struct TemplateFields {
    status: String,
}

#[derive(Deserialize)]
struct Paging {
    cursors: Option<Cursors>,
    next: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct Cursors {
    after: Option<String>,
}

impl Graph {
    /// Reads how the API sees a number.
    pub async fn number(&self, lane: &LaneId, token: &Token) -> anyhow::Result<NumberState> {
        let fields = "throughput,is_on_biz_app,quality_rating,status,whatsapp_business_manager_messaging_limit";
        let fields: NumberFields = self
            .read_json(lane.as_str(), &[("fields", fields)], token)
            .await?;
        Ok(fields.into())
    }

    /// Reads whether and how long a token is good. It travels in the query, as the API wants it; so that URL is never printed.
    pub async fn token(&self, token: &Token) -> anyhow::Result<TokenState> {
        let query = [("input_token", token.bare())];
        let debugged: Debugged = self.read_json("debug_token", &query, token).await?;
        Ok(debugged.data)
    }

    /// Counts an account's templates by their status.
    pub async fn templates(&self, waba_id: &str, token: &Token) -> anyhow::Result<TemplateCounts> {
        let path = format!("{waba_id}/message_templates");
        let (mut counts, mut after) = (TemplateCounts::default(), String::new());
        let per_page = TEMPLATES_PER_READ.to_string();
        for _ in 0..TEMPLATE_PAGES_MAX {
            let mut query = vec![("fields", "status"), ("limit", &*per_page)];
            if !after.is_empty() {
                query.push(("after", &after));
            }
            let page: TemplatePage = self.read_json(&path, &query, token).await?;
            for template in page.data {
                let status = word(&TEMPLATE_STATUSES, Some(&template.status));
                let counted = TEMPLATE_STATUSES.iter().zip(&mut counts);
                if let Some((_, count)) = { counted }.find(|(known, _)| **known == status) {
                    *count += 1;
                }
            }
            let paging = page.paging.filter(|paging| paging.next.is_some());
            let cursor = paging.and_then(|paging| paging.cursors?.after);
            match cursor.filter(|cursor| !cursor.is_empty()) {
                Some(cursor) => after = cursor,
                None => break,
            }
        }
        Ok(counts)
    }

    /// Asks whether a number can send, or an account's numbers. Source: Meta's "Health status" page: AVAILABLE, LIMITED or BLOCKED.
    pub async fn health(&self, lane: &LaneId, token: &Token) -> Health {
        let query = [("fields", "health_status")];
        let node = lane.waba_id().unwrap_or(lane.as_str());
        let Ok((status, body)) = self.get(node, &query, token).await else {
            return Health::Unanswered;
        };
        if let AnswerBody::Error(error) = AnswerBody::read(&body) {
            return match error.code {
                // Permissions; sending needs another one.
                10 | 200..=299 => Health::Forbidden,
                // Call rates and trouble of the API's. Source: Meta, "Error codes".
                1 | 2 | 4 | 17 | 32 | 341 | 613 | 80_007 | 80_008 | 131_000 | 131_016 | 133_004 => {
                    Health::Unanswered
                }
                _ => Health::Blocked,
            };
        }
        let fields = serde_json::from_slice::<HealthFields>(&body);
        match fields.map(|fields| fields.health_status) {
            _ if !status.is_success() => Health::Unanswered,
            Ok(Some(health)) if health.can_send_message == "BLOCKED" => Health::Blocked,
            // A number that may be read and says no more is given a try.
            Ok(Some(_) | None) => Health::Well,
            Err(_) => Health::Unanswered,
        }
    }

    /// The error never holds the URL, which may carry a token or a proof, nor a text of the API's.
    async fn read_json<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, &str)],
        token: &Token,
    ) -> anyhow::Result<T> {
        let (status, body) = self.get(path, query, token).await?;
        if !status.is_success() {
            match AnswerBody::read(&body) {
                AnswerBody::Error(error) => {
                    anyhow::bail!("HTTP {status}, error code {}", error.code)
                }
                AnswerBody::Accepted(_) | AnswerBody::Success | AnswerBody::Unreadable => {
                    anyhow::bail!("HTTP {status} without an answer of the API");
                }
            }
        }
        serde_json::from_slice(&body)
            .map_err(|_| anyhow::anyhow!("the answer is not what the API documents"))
    }

    pub(super) async fn get(
        &self,
        path: &str,
        query: &[(&str, &str)],
        token: &Token,
    ) -> anyhow::Result<(StatusCode, Bytes)> {
        let mut url: Url = self.base.join(path)?;
        url.query_pairs_mut().extend_pairs(query);
        let request = self
            .client
            .get(prove(url, token))
            .timeout(self.request_timeout)
            .header(AUTHORIZATION, token.authorization.clone());
        let response = request.send().await.map_err(reqwest::Error::without_url)?;
        let status = response.status();
        let body = self.read(response).await;
        Ok((
            status,
            body.context("the answer broke off or was too large")?,
        ))
    }
}
