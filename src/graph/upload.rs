//! Files on their way to the API, each in the way that its use asks for.
//!
//! Sources: Meta, "Media" (multipart), "Resumable Upload API" (sessions), "Groups", "Flows API" (assets).

use super::{Graph, prove};
use crate::core::operation::Operation;
use crate::core::operation::file::{FileOf, FileToUpload};
use crate::core::outcome::answer::{AnswerBody, Reply};
use crate::credentials::Token;
use bytes::Bytes;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::multipart::{Form, Part};
use reqwest::{Body, RequestBuilder, Url};
use serde_json::json;
use std::time::Duration;
use tokio::fs::File;

/// The bytes of a file.
pub enum Bulk {
    Bytes(Bytes),
    File { file: File, bytes: u64 },
}

impl Bulk {
    fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => u64::try_from(bytes.len()).unwrap_or(u64::MAX),
            Self::File { bytes, .. } => *bytes,
        }
    }

    fn into_body(self) -> Body {
        match self {
            Self::Bytes(bytes) => bytes.into(),
            Self::File { file, .. } => file.into(),
        }
    }
}

/// A file that was checked, and the type that the API takes it as.
pub struct Checked {
    pub bulk: Bulk,
    pub mime: &'static str,
}

impl Graph {
    /// Sends a file, and waits for the answer no longer than that. `path`: the operation's.
    pub async fn upload(
        &self,
        operation: Operation,
        path: &str,
        upload: &FileToUpload,
        file: Checked,
        token: &Token,
        patience: Duration,
    ) -> Reply {
        let sending = async {
            match &upload.uploads_path {
                Some(uploads) => {
                    let name = file_name(upload, file.mime);
                    let sent = self
                        .send_by_session(operation, uploads, &name, file, token)
                        .await;
                    match (upload.of, sent) {
                        (FileOf::ProfilePicture, Ok((_, handle))) => {
                            self.set_picture(operation, path, &handle, token).await
                        }
                        (_, Ok((reply, _)) | Err(reply)) => reply,
                    }
                }
                None => self.send_form(operation, path, upload, file, token).await,
            }
        };
        let sent = tokio::time::timeout(patience, sending).await;
        sent.unwrap_or(Reply::NoAnswer("timeout"))
    }

    async fn send_form(
        &self,
        operation: Operation,
        path: &str,
        upload: &FileToUpload,
        file: Checked,
        token: &Token,
    ) -> Reply {
        let mut form = match upload.of {
            FileOf::FlowAsset => Form::new()
                .text("name", "flow.json")
                .text("asset_type", "FLOW_JSON"),
            FileOf::Media => Form::new()
                .text("messaging_product", "whatsapp")
                .text("type", file.mime),
            FileOf::GroupPicture | FileOf::Handle | FileOf::ProfilePicture => {
                Form::new().text("messaging_product", "whatsapp")
            }
        };
        if let Some(minutes) = upload.ttl_minutes {
            form = form.text("ttl_minutes", minutes.to_string());
        }
        let bytes = file.bulk.len();
        let part = Part::stream_with_length(file.bulk.into_body(), bytes)
            .file_name(file_name(upload, file.mime))
            .mime_str(file.mime);
        let Ok(part) = part else {
            return Reply::NotSent("request");
        };
        let Some(request) = self.begin_post(operation, path, token) else {
            return Reply::NotSent("request");
        };
        let request = request.multipart(form.part("file", part));
        self.exchange(request, operation.facts()).await
    }

    /// Begins a session and sends the file by it. Returns the answer to that, and the handle in it.
    async fn send_by_session(
        &self,
        operation: Operation,
        uploads: &str,
        name: &str,
        file: Checked,
        token: &Token,
    ) -> Result<(Reply, String), Reply> {
        let bytes = file.bulk.len().to_string();
        let mut url = self.base_of(operation).join(uploads).ok();
        if let Some(url) = &mut url {
            url.query_pairs_mut()
                .append_pair("file_name", name)
                .append_pair("file_length", &bytes)
                .append_pair("file_type", file.mime);
        }
        let begin = self.post(url.ok_or(Reply::NotSent("request"))?, token);
        let (_, session) = self.ask_for(begin, operation, "id").await?;
        // An id such as `upload:…` would be taken for a URL of its own.
        let url = format!("{}{session}", self.base).parse();
        let url = url.map_err(|_| Reply::NoAnswer("session"))?;
        let scheme = HeaderValue::try_from(format!("OAuth {}", token.bare()));
        let mut scheme = scheme.map_err(|_| Reply::NotSent("request"))?;
        scheme.set_sensitive(true);
        let send = self
            .client
            .post(prove(url, token))
            .header(AUTHORIZATION, scheme)
            .header("file_offset", "0")
            .header(CONTENT_TYPE, file.mime)
            .body(file.bulk.into_body());
        self.ask_for(send, operation, "h").await
    }

    /// One request, and this member of its answer.
    async fn ask_for(
        &self,
        request: RequestBuilder,
        operation: Operation,
        member: &str,
    ) -> Result<(Reply, String), Reply> {
        let reply = self.exchange(request, operation.facts()).await;
        let found = match &reply {
            Reply::Answered(answer) => match &answer.body {
                AnswerBody::Accepted(accepted) => accepted.whole.as_ref(),
                AnswerBody::Success | AnswerBody::Error(_) | AnswerBody::Unreadable => None,
            },
            Reply::NotSent(_) | Reply::NoAnswer(_) | Reply::NoFile(_) => None,
        };
        match found.and_then(|whole| whole.response.member(member)) {
            Some(text) => Ok((reply, text)),
            None => Err(reply),
        }
    }

    async fn set_picture(
        &self,
        operation: Operation,
        path: &str,
        handle: &str,
        token: &Token,
    ) -> Reply {
        let body = json!({"messaging_product": "whatsapp", "profile_picture_handle": handle});
        let Some(request) = self.begin_post(operation, path, token) else {
            return Reply::NotSent("request");
        };
        let json = HeaderValue::from_static("application/json");
        let request = request.header(CONTENT_TYPE, json).body(body.to_string());
        self.exchange(request, operation.facts()).await
    }

    fn begin_post(
        &self,
        operation: Operation,
        path: &str,
        token: &Token,
    ) -> Option<RequestBuilder> {
        let url = self.base_of(operation).join(path).ok()?;
        Some(self.post(url, token))
    }

    fn post(&self, url: Url, token: &Token) -> RequestBuilder {
        let request = self.client.post(prove(url, token));
        request.header(AUTHORIZATION, token.authorization.clone())
    }
}

/// The name of the file as its caller has it, or one that fits its type: Meta wants one.
fn file_name(upload: &FileToUpload, mime: &str) -> String {
    let fallback = || {
        let subtype = mime.rsplit_once('/').map_or("bin", |(_, subtype)| subtype);
        let ending = match subtype {
            "plain" => "txt",
            "msword" => "doc",
            "vnd.ms-excel" => "xls",
            "vnd.ms-powerpoint" => "ppt",
            "vnd.openxmlformats-officedocument.wordprocessingml.document" => "docx",
            "vnd.openxmlformats-officedocument.spreadsheetml.sheet" => "xlsx",
            "vnd.openxmlformats-officedocument.presentationml.presentation" => "pptx",
            other => other,
        };
        format!("file.{ending}")
    };
    upload.name.clone().unwrap_or_else(fallback)
}
