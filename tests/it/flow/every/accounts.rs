//! An account: its numbers, users, subscriptions, payments and figures.

use super::Walk;
use crate::support::{NUMBER, WABA};
use serde_json::json;

impl Walk {
    pub(super) async fn accounts(&mut self) {
        let none = || json!({});
        let first = [("/data/0/id", json!(NUMBER))];
        self.does("phone_numbers_list", "", none(), &first).await;
        let number = json!({ "cc": "34", "phone_number": "600000009", "verified_name": "Depot" });
        let added = self.finds("phone_number_add", "", number, "/id").await;
        let second = [
            ("/data/1/id", json!(added)),
            ("/data/1/verified_name", json!("Depot")),
        ];
        self.does("phone_numbers_list", "", none(), &second).await;
        self.does("waba_update", "", json!({ "name": "Depots" }), &[])
            .await;
        let name = [("/name", json!("Depots")), ("/id", json!(WABA))];
        self.does("waba_get", "", json!({ "fields": "name,currency" }), &name)
            .await;
        let portfolio = "100000000000002";
        self.does("waba_list_owned", portfolio, none(), &[]).await;
        self.does(
            "waba_list_client",
            portfolio,
            none(),
            &[("/data", json!([]))],
        )
        .await;
        let user = json!({ "user": "77", "tasks": ["MANAGE"] });
        self.does("waba_users_add", "", user, &[]).await;
        self.does(
            "waba_users_list",
            "",
            none(),
            &[("/data/0/id", json!("77"))],
        )
        .await;
        self.does("waba_users_remove", "", json!({ "user": "77" }), &[])
            .await;
        self.does("waba_users_list", "", none(), &[("/data", json!([]))])
            .await;
        let uri = "https://example.com/w";
        let callback = json!({ "override_callback_uri": uri, "verify_token": "v" });
        self.does("subscribe_app", "", callback, &[]).await;
        let shown = [("/data/0/override_callback_uri", json!(uri))];
        self.does("list_subscriptions", "", none(), &shown).await;
        self.does("unsubscribe_app", "", none(), &[]).await;
        self.does("list_subscriptions", "", none(), &[("/data", json!([]))])
            .await;
    }

    pub(super) async fn payments(&mut self) {
        let none = || json!({});
        let config = json!({ "configuration_name": "upi", "provider_name": "upi_vpa", "purpose_code": "00",
            "merchant_category_code": "0000", "merchant_vpa": "depot@upi" });
        self.does("payment_config_create", "", config, &[]).await;
        let name = (
            "/data/0/payment_configurations/0/configuration_name",
            json!("upi"),
        );
        self.does("payment_config_list", "", none(), &[name]).await;
        let endpoint = json!({ "data_endpoint_url": "https://example.com/d" });
        self.does("payment_config_update", "upi", endpoint, &[])
            .await;
        let shown = [("/data/0/data_endpoint_url", json!("https://example.com/d"))];
        self.does("payment_config_get", "upi", none(), &shown).await;
        let link = json!({ "configuration_name": "upi", "redirect_url": "https://example.com/r" });
        self.finds("payment_oauth_link", "", link, "/oauth_url")
            .await;
        let refund = json!({ "reference_id": "r-1", "payment_config_id": "upi",
            "amount": { "currency": "INR", "value": "500", "offset": "100" } });
        let refunds = |refunds| [("/payments/0/refunds", refunds)];
        self.does("payment_lookup", "upi/r-1", none(), &refunds(json!([])))
            .await;
        self.does("payment_refund", "", refund, &[]).await;
        let value = [("/payments/0/refunds/0/amount/value", json!("500"))];
        self.does("payment_lookup", "upi/r-1", none(), &value).await;
        let name = json!({ "configuration_name": "upi" });
        self.does("payment_config_delete", "", name, &[]).await;
        self.fails("payment_config_get", "upi", 100).await;
    }

    pub(super) async fn figures(&mut self) {
        let span = json!({ "start": 1_600_000_000, "end": 1_600_086_400, "granularity": "DAILY" });
        for (name, point) in [
            ("analytics", "/analytics/data_points/0"),
            (
                "conversation_analytics",
                "/conversation_analytics/data/0/data_points/0",
            ),
            (
                "pricing_analytics",
                "/pricing_analytics/data/0/data_points/0",
            ),
            ("call_analytics", "/call_analytics/data/0/data_points/0"),
        ] {
            let start = format!("{point}/start");
            let shown = [(start.as_str(), json!(1_600_000_000))];
            self.does(name, "", span.clone(), &shown).await;
        }
        self.does("template_group_analytics", "", span.clone(), &[])
            .await;
        let mut of_templates = span;
        of_templates["template_ids"] = json!(["7"]);
        let shown = [("/data/0/data_points/0/template_id", json!("7"))];
        self.does("template_analytics", "", of_templates, &shown)
            .await;
        let healthy = [("/health_status/can_send_message", json!("AVAILABLE"))];
        self.does("health_check", NUMBER, json!({}), &healthy).await;
    }
}
