//! Too fast, used up, paused: slower, later, and at no cost.

use super::*;
use graph_sim::{Action, Fault, Usage};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lane_finds_the_rate_that_the_api_allows() {
    let world = World::start(setup()).await;
    world.sim.change_number("111", |rules| {
        rules.unlimited = false;
        rules.mps = Some(40);
    });
    let ids = publish(&world, "111", 200).await;
    let lane = [("phone_number_id", "111")];
    world
        .metric("lane_rate_messages_per_second", &lane, |rate| {
            (1.0..70.0).contains(&rate)
        })
        .await;
    let told = world.worker.lane("111").await;
    assert_eq!(told["limit_messages_per_second"], 80);
    let (configured, effective) = (
        told["configured_rate_messages_per_second"]
            .as_f64()
            .unwrap(),
        told["rate_messages_per_second"].as_f64().unwrap(),
    );
    assert!(
        (configured - 76.24).abs() < 1e-6 && effective < 70.0,
        "{told}"
    );
    world.accepted_once(&ids).await;
    // It rises again by itself.
    let before = world.worker.lane("111").await["rate_messages_per_second"]
        .as_f64()
        .unwrap();
    world
        .sim
        .change_number("111", |rules| rules.unlimited = true);
    publish(&world, "111", 0).await;
    let more: Vec<String> = (0..100).map(|n| format!("more-{n}")).collect();
    let request =
        |(n, id): (usize, &String)| Request::text(id, &format!("3461{n:07}")).number("111");
    world.publish(more.iter().enumerate().map(request)).await;
    world.accepted_once(&more).await;
    world
        .metric("lane_rate_messages_per_second", &lane, |rate| rate > before)
        .await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_used_up_budget_pauses_its_account() {
    let world = World::start(setup()).await;
    let used_up = Usage {
        business_percent: Some(100),
        regain_minutes: 30,
        app_percent: None,
    };
    world
        .sim
        .change_waba("900", |rules| rules.usage = Some(used_up))
        .unwrap();
    let first = publish(&world, "111", 1).await;
    world.accepted_once(&first).await;
    for lane in ["111", "112"] {
        world.worker.lane_state(lane, "away").await;
        let told = world.worker.lane(lane).await;
        assert_eq!(told["held_by"], "throttle");
        assert!(told["cause"]["ends"].is_string(), "{told}");
    }
    let free = publish(&world, "222", 5).await;
    world.accepted_once(&free).await;
    world
        .sim
        .change_waba("900", |rules| rules.usage = None)
        .unwrap();
    assert_eq!(world.worker.post("/lanes/112/resume").await.status, 202);
    let held = publish(&world, "112", 5).await;
    world.accepted_once(&held).await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rate_can_be_tried_out() {
    let world = World::start(setup().set("pacing.shadow_mps", "2")).await;
    let ids = publish(&world, "111", 20).await;
    world.accepted_once(&ids).await;
    let lane = [("phone_number_id", "111")];
    let waits = world.sum("shadow_waits_total", &lane).await;
    // At 77 a second in place of 2: nearly all of them.
    assert!((15.0..20.0).contains(&waits), "{waits}");
    world.finish().await;
}

fn of_template(id: &str, to: &str, template: &str) -> Request {
    let body: Value = json!({"to": to, "type": "template", "template": {"name": template, "language": {"code": "en"}}});
    Request::json(id, &body).number("111")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_of_a_paused_template_may_wait() {
    let mut setup = setup();
    setup.append +=
        "[[outcomes]]\ncode = 132015\nclass = \"throttled\"\nscope = \"template\"\npause_s = 2\n";
    let world = World::start(setup).await;
    let mut fault = Fault::new(Action::error(132_015)).times(1);
    fault.matches.template = Some("sale".to_owned());
    world.sim.set_script(fault);
    world
        .publish([of_template("first", "34600000001", "sale")])
        .await;
    world
        .metric("delayed_total", &[("phone_number_id", "111")], |n| n == 1.0)
        .await;
    let others = [
        of_template("second", "34600000002", "sale"),
        of_template("third", "34600000003", "order"),
    ];
    world.publish(others).await;
    world.accepted_once(&["third".to_owned()]).await;
    assert!(world.results.of("second").is_empty());
    world
        .accepted_once(&["first".to_owned(), "second".to_owned()])
        .await;
    assert_eq!(
        received(&world.sim.stats(), &["111"]),
        4,
        "one refusal in all"
    );
    world.finish().await;
}
