//! What an account creates: templates and their groups, flows, groups of people.

use super::{OTHER, Walk};
use crate::support::WABA;
use serde_json::json;

impl Walk {
    pub(super) async fn templates(&mut self) {
        let none = || json!({});
        let body = |text: &str| json!([{ "type": "BODY", "text": text }]);
        let sale = json!({ "name": "sale", "language": "en", "category": "MARKETING", "components": body("Hi") });
        let id = self.finds("template_create", "", sale, "/id").await;
        let listed = [
            ("/data/0/id", json!(id)),
            ("/data/0/status", json!("PENDING")),
        ];
        self.does("template_list", "", json!({ "name": "sale" }), &listed)
            .await;
        self.template(WABA, "sale", "APPROVED");
        self.does(
            "template_edit",
            &id,
            json!({ "components": body("Hello") }),
            &[],
        )
        .await;
        let edited = [
            ("/components/0/text", json!("Hello")),
            ("/status", json!("PENDING")),
        ];
        self.does("template_get", &id, none(), &edited).await;
        self.template(WABA, "sale", "PAUSED");
        self.does("template_unpause", &id, none(), &[]).await;
        let status = |word: &str| [("/status", json!(word))];
        self.does("template_get", &id, none(), &status("APPROVED"))
            .await;
        let span = json!({ "template_ids": ["7"], "start": 1, "end": 604_801 });
        let shown = [("/data/0/order_by_relative_metric/0", json!(id))];
        self.does("template_compare", &id, span, &shown).await;
        self.does("template_archive", "", json!({ "hsm_ids": [id] }), &[])
            .await;
        self.does("template_get", &id, none(), &status("ARCHIVED"))
            .await;
        self.does("template_unarchive", "", json!({ "hsm_ids": [id] }), &[])
            .await;
        let gone = self
            .result("template_archive", "", &json!({ "hsm_ids": [id, "1"] }))
            .await;
        assert_eq!(gone["error"]["class"], "partial", "{gone}");
        self.does("template_delete", "", json!({ "name": "sale" }), &[])
            .await;
        self.fails("template_get", &id, 100).await;
        self.template(OTHER, "old", "APPROVED");
        let from = json!({ "source_waba_id": OTHER });
        self.finds("template_migrate", "", from, "/migrated_templates/0")
            .await;
        self.finds("template_list", "", json!({ "name": "old" }), "/data/0/id")
            .await;
        let codes =
            json!({ "name": "otp", "languages": ["en", "es"], "category": "AUTHENTICATION" });
        let both = [("/data/1/language", json!("es"))];
        self.does("template_upsert_auth", "", codes, &both).await;
        self.finds("template_library", "", none(), "/data/0/name")
            .await;
    }

    pub(super) async fn template_groups(&mut self) {
        let none = || json!({});
        let id = self
            .finds(
                "template_group_create",
                "",
                json!({ "name": "Sales" }),
                "/id",
            )
            .await;
        self.does(
            "template_group_list",
            "",
            none(),
            &[("/data/0/id", json!(id))],
        )
        .await;
        self.does(
            "template_group_update",
            &id,
            json!({ "description": "All" }),
            &[],
        )
        .await;
        let shown = [("/name", json!("Sales")), ("/description", json!("All"))];
        self.does("template_group_get", &id, none(), &shown).await;
        self.does("template_group_delete", &id, none(), &[]).await;
        self.fails("template_group_get", &id, 100).await;
    }

    pub(super) async fn flows(&mut self) {
        let none = || json!({});
        let flow = |name: &str| json!({ "name": name, "categories": ["OTHER"] });
        let id = self.finds("flow_create", "", flow("book"), "/id").await;
        self.does("flow_list", "", none(), &[("/data/0/name", json!("book"))])
            .await;
        self.does("flow_update", &id, json!({ "name": "booking" }), &[])
            .await;
        self.does("flow_get", &id, none(), &[("/name", json!("booking"))])
            .await;
        self.does("flow_assets", &id, none(), &[("/data", json!([]))])
            .await;
        self.gives("flow_asset_set", &id, br#"{"version":"7.0"}"#)
            .await;
        let asset = [("/data/0/name", json!("flow.json"))];
        self.does("flow_assets", &id, none(), &asset).await;
        self.does("flow_publish", &id, none(), &[]).await;
        self.fails("flow_delete", &id, 139_004).await;
        let status = |word: &str| [("/status", json!(word))];
        self.does("flow_get", &id, none(), &status("PUBLISHED"))
            .await;
        self.does("flow_deprecate", &id, none(), &[]).await;
        self.does("flow_get", &id, none(), &status("DEPRECATED"))
            .await;
        let draft = self.finds("flow_create", "", flow("draft"), "/id").await;
        self.does("flow_delete", &draft, none(), &[]).await;
        self.fails("flow_get", &draft, 100).await;
        self.beside(&format!("{OTHER}/flows"), flow("theirs")).await;
        let from = || json!({ "source_waba_id": OTHER });
        self.finds("flow_migrate", "", from(), "/migrated_flows/0/migrated_id")
            .await;
        // Beside one that is there already, one that is not.
        self.beside(&format!("{OTHER}/flows"), flow("new")).await;
        let again = self.result("flow_migrate", "", &from()).await;
        assert_eq!(again["error"]["class"], "partial", "{again}");
    }

    pub(super) async fn groups(&mut self) {
        let none = || json!({});
        self.does("group_create", "", json!({ "subject": "Depot" }), &[])
            .await;
        let id = self
            .finds("group_list", "", none(), "/data/groups/0/id")
            .await;
        self.does("group_update", &id, json!({ "subject": "Depots" }), &[])
            .await;
        self.does("group_get", &id, none(), &[("/subject", json!("Depots"))])
            .await;
        self.gives("group_picture_set", &id, b"\xff\xd8\xff\xe0\x00\x10JFIF")
            .await;
        let first = self
            .finds("group_invite_get", &id, none(), "/invite_link")
            .await;
        let second = self
            .finds("group_invite_reset", &id, none(), "/invite_link")
            .await;
        assert_ne!(first, second);
        self.does(
            "group_invite_get",
            &id,
            none(),
            &[("/invite_link", json!(second))],
        )
        .await;
        self.does("group_invite_revoke", &id, none(), &[]).await;
        self.fails("group_invite_get", &id, 131_202).await;
        let asks = ["34600000001", "34600000002"].map(|user| self.world.sim.ask_to_join(&id, user));
        let shown = [("/data/1/join_request_id", json!(asks[1]))];
        self.does("group_join_requests_list", &id, none(), &shown)
            .await;
        let some = json!({ "join_requests": [asks[0], "gone"] });
        let some = self.result("group_join_requests_approve", &id, &some).await;
        assert_eq!(some["error"]["class"], "partial", "{some}");
        assert_eq!(some["response"]["approved_join_requests"], json!([asks[0]]));
        self.does(
            "group_join_requests_reject",
            &id,
            json!({ "join_requests": [asks[1]] }),
            &[],
        )
        .await;
        let participants = |count: u64| [("/total_participant_count", json!(count))];
        self.does("group_get", &id, none(), &participants(1)).await;
        let users = json!({ "participants": [{ "user": "34600000001" }] });
        self.does("group_participants_remove", &id, users, &[])
            .await;
        self.does("group_get", &id, none(), &participants(0)).await;
        self.does("group_delete", &id, none(), &[]).await;
        self.fails("group_get", &id, 100).await;
    }
}
