use super::*;
use crate::contract::request::Inbound;
use crate::core::Now;

const NOTE: Note = Note {
    key: 1,
    at_s: 1,
    word: Word::Accepted,
};

fn noting() -> (Noting, mpsc::Receiver<Recalled>) {
    let (answer, answered) = mpsc::channel(BATCHES_AHEAD);
    let read = Read {
        number: 1,
        from_s: 0,
        only: None,
    };
    (Noting::new(read, answer), answered)
}

/// However much there is: what is on its way to a lane never is more than the batches ahead and the one that is being filled.
#[tokio::test]
async fn a_long_log_is_handed_over_in_parts_of_which_few_are_held() {
    const NOTES: usize = 50_500;
    let (mut noting, mut answered) = noting();
    let reading = async move {
        for _ in 0..NOTES {
            noting.add(NOTE).await;
            assert!(noting.batch.len() < BATCH);
        }
        noting.end().await;
    };
    let taking = async move {
        let mut taken = 0;
        loop {
            // The reader goes on until it has to wait.
            tokio::task::yield_now().await;
            assert!(answered.len() <= BATCHES_AHEAD);
            match answered.recv().await {
                Some(Recalled::Notes(notes)) => {
                    assert!(notes.len() <= BATCH);
                    taken += notes.len();
                }
                Some(Recalled::Whole) => break taken,
                other => panic!("{other:?}"),
            }
        }
    };
    let ((), taken) = tokio::join!(reading, taking);
    assert_eq!(taken, NOTES);
}

#[tokio::test]
async fn a_lane_that_does_not_listen_any_more_is_handed_nothing() {
    let (mut noting, answered) = noting();
    drop(answered);
    for _ in 0..BATCH {
        noting.add(NOTE).await;
    }
    assert!(!noting.is_wanted && noting.batch.is_empty());
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_ever_for_the_result_of_an_earlier_one() {
    let (sender, mut questions) = mpsc::unbounded_channel();
    let inbound = Inbound {
        message_id: Some("a"),
        ..Inbound::default()
    };
    let lane = LaneId::new("1");
    let now = Now {
        mono: Duration::ZERO,
        wall_ms: 1_800_000_000_000,
        steady_ms: 1_800_000_000_000,
    };
    let report = ResultDocument::unread(&inbound, &lane, Status::Accepted, None, now);
    let answer = Memory(sender).result(&report).await;
    assert!(matches!(answer, Recall::Unread));
    // Whoever reads for it stops.
    let mut pass = Pass::new(vec![questions.try_recv().unwrap()]);
    assert_eq!(pass.missing, 1);
    pass.forget_who_left();
    assert_eq!((pass.missing, pass.results.len()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_lane_that_takes_nothing_is_not_waited_for() {
    let (mut noting, answered) = noting();
    for _ in 0..(BATCHES_AHEAD + 1) * BATCH {
        noting.add(NOTE).await;
    }
    assert!(!noting.is_wanted);
    assert_eq!(answered.len(), BATCHES_AHEAD);
}
