//! A number: its texts and settings, people, media, QR codes.

use super::Walk;
use crate::support::NUMBER;
use serde_json::json;

/// The beginning of a picture.
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR";

impl Walk {
    pub(super) async fn numbers(&mut self) {
        let none = || json!({});
        let about = [("/data/0/about", json!("open"))];
        self.does("profile_update", "", json!({ "about": "open" }), &[])
            .await;
        self.does("profile_get", "", json!({ "fields": "about" }), &about)
            .await;
        let officer = json!({ "name": "Ana", "email": "a@example.com" });
        let info = json!({ "entity_name": "Depot", "entity_type": "PARTNERSHIP", "is_registered": true,
            "grievance_officer_details": officer, "customer_care_details": { "email": "c@example.com" } });
        self.does("compliance_set", "", info, &[]).await;
        let entity = [("/data/0/entity_name", json!("Depot"))];
        self.does("compliance_get", "", none(), &entity).await;
        self.does(
            "display_name_update",
            "",
            json!({ "new_display_name": "Depot 4" }),
            &[],
        )
        .await;
        self.does("two_step_pin_set", "", json!({ "pin": "123456" }), &[])
            .await;
        let callback =
            json!({ "override_callback_uri": "https://example.com/n", "verify_token": "v" });
        self.does(
            "number_callback_set",
            "",
            json!({ "webhook_configuration": callback }),
            &[],
        )
        .await;
        let fields = json!({ "fields": "new_display_name,webhook_configuration,status" });
        let shown = [
            ("/new_display_name", json!("Depot 4")),
            (
                "/webhook_configuration/phone_number",
                json!("https://example.com/n"),
            ),
            ("/id", json!(NUMBER)),
        ];
        self.does("phone_number_get", "", fields, &shown).await;
        let status = |word: &str| [("/oba_status", json!(word))];
        self.does("oba_status", "", none(), &status("NOT_STARTED"))
            .await;
        self.does("oba_request", "", none(), &[]).await;
        self.does("oba_status", "", none(), &status("PENDING"))
            .await;
        self.does("username_set", "", json!({ "username": "depot" }), &[])
            .await;
        self.does("username_get", "", none(), &[("/username", json!("depot"))])
            .await;
        self.does("username_delete", "", none(), &[]).await;
        self.does("username_get", "", none(), &[("/username", json!(null))])
            .await;
        self.does("username_suggestions", "", none(), &[]).await;
        let check = json!({ "user_identity_change": { "enable_identity_key_check": true } });
        self.does("settings_set", "", check, &[]).await;
        let is_checked = [(
            "/user_identity_change/enable_identity_key_check",
            json!(true),
        )];
        self.does("settings_get", "", none(), &is_checked).await;
    }

    pub(super) async fn people_and_media(&mut self) {
        let none = || json!({});
        let users = || json!({ "block_users": [{ "user": "34600000001" }] });
        self.does("block_users", "", users(), &[]).await;
        let blocked = [("/data/0/wa_id", json!("34600000001"))];
        self.does("list_blocked", "", json!({ "limit": 5 }), &blocked)
            .await;
        self.does("unblock_users", "", users(), &[]).await;
        self.does("list_blocked", "", none(), &[("/data", json!([]))])
            .await;
        self.does("contact_book_delete", "", json!({ "user_id": "ES.1" }), &[])
            .await;
        let of_message = json!({ "message_id": "wamid.1" });
        let history = self
            .finds("message_history", "", of_message, "/data/0/id")
            .await;
        let sent = [("/data/0/delivery_status", json!("SENT"))];
        self.does("message_history_events", &history, none(), &sent)
            .await;
        let media = self.gives("media_upload", "", PNG).await["id"].clone();
        let media = media.as_str().unwrap().to_owned();
        let kind = [("/mime_type", json!("image/png"))];
        self.does("media_get", &media, none(), &kind).await;
        self.does("media_delete", &media, none(), &[]).await;
        self.fails("media_get", &media, 100).await;
        self.gives("upload_handle", "1", PNG).await;
        self.gives("profile_picture_set", "1", PNG).await;
    }

    pub(super) async fn codes_and_settings(&mut self) {
        let none = || json!({});
        let text = |text: &str| json!({ "prefilled_message": text });
        let code = self.finds("qr_create", "", text("Hi"), "/code").await;
        self.does("qr_list", "", none(), &[("/data/0/code", json!(code))])
            .await;
        let other = json!({ "code": code, "prefilled_message": "Hello" });
        self.does("qr_update", "", other, &[]).await;
        let hello = [("/data/0/prefilled_message", json!("Hello"))];
        self.does("qr_get", &code, none(), &hello).await;
        self.does("qr_delete", &code, none(), &[]).await;
        self.fails("qr_get", &code, 100).await;
        let prompts = json!({ "enable_welcome_message": false, "prompts": ["Book"] });
        self.does("automation_set", "", prompts, &[]).await;
        let book = [("/conversational_automation/prompts/0", json!("Book"))];
        self.does("automation_get", "", none(), &book).await;
        let visible = |is: bool| [("/data/0/is_catalog_visible", json!(is))];
        self.does("commerce_get", "", none(), &visible(false)).await;
        self.does(
            "commerce_set",
            "",
            json!({ "is_catalog_visible": true }),
            &[],
        )
        .await;
        self.does("commerce_get", "", none(), &visible(true)).await;
        let key = "-----BEGIN PUBLIC KEY-----\nMIIB+/=\n-----END PUBLIC KEY-----\n";
        self.does(
            "encryption_key_set",
            "",
            json!({ "business_public_key": key }),
            &[],
        )
        .await;
        let shown = [("/business_public_key", json!(key))];
        self.does("encryption_key_get", "", none(), &shown).await;
    }
}
