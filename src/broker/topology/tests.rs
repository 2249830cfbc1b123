use super::*;

fn of_one(waba_id: &str, phone_number_id: &str) -> Topology {
    let numbers = [phone_number_id].into_iter();
    let account = LaneQueue::of_account(waba_id, numbers);
    Topology {
        lanes: vec![LaneQueue::of_number(phone_number_id), account],
    }
}

#[test]
fn the_shipped_definitions_are_those_of_the_code() {
    let topology = of_one("102290129340398", "106540352242922");
    let shipped = include_str!("../../../deploy/rabbitmq-definitions.json");
    let shipped: Value = serde_json::from_str(shipped).unwrap();
    assert!(
        shipped == topology.definitions("/"),
        "write it anew with: whatsapp-dispatcher definitions --config …, for that number"
    );
}

#[test]
fn nothing_is_bound_before_it_is_declared() {
    let topology = of_one("2", "1");
    let mut declared = vec![];
    for object in topology.objects() {
        match object {
            Object::Exchange { name, .. } => declared.push(("exchange", name)),
            Object::Queue { name, .. } => declared.push(("queue", name)),
            Object::QueueBinding {
                queue, exchange, ..
            } => {
                assert!(declared.contains(&("queue", queue)));
                assert!(declared.contains(&("exchange", exchange)));
            }
            Object::ExchangeBinding {
                destination,
                source,
                ..
            } => {
                assert!(declared.contains(&("exchange", destination)));
                assert!(declared.contains(&("exchange", source)));
            }
        }
    }
}
