//! How far one is ahead of others and behind them.

use super::Node;
use crate::sync::Front;

#[test]
fn ahead_is_what_came_after_the_last_exchange_and_behind_what_a_front_says() {
    let mut ana = Node::founder("ana");
    let ben = ana.invite("ben");
    ana.pull(&ben);
    let (device, of) = (ben.author.device.device(), |ana: &Node| ana.store.exchanges().unwrap());
    assert!(of(&ana).is_empty());
    ana.store.note_held(&device, ana.store.newest_arrival().unwrap(), 10).unwrap();
    let now = of(&ana)[&device];
    assert_eq!((now.at_ms, now.ahead, now.behind), (10, 0, 0));
    ana.note("Convoy", "Brief the drivers.");
    let mut ben = ben;
    ben.note("Thanks", "It went well.");
    ana.pull(&ben);
    // What it wrote itself it is not behind of.
    assert_eq!(of(&ana)[&device].ahead, 1);

    // A bundle's front says that it holds one more than is here.
    ben.note("Thanks again", "Twice.");
    let front = ben.store.front().unwrap();
    ana.store.note_front(&device, 20, &front).unwrap();
    let now = of(&ana)[&device];
    assert_eq!((now.at_ms, now.behind), (20, 1));
    ana.pull(&ben);
    assert_eq!(of(&ana)[&device].behind, 0);
    // A session later than a front leaves nothing behind.
    ana.store.note_front(&device, 30, &Front::new()).unwrap();
    ana.store.note_held(&device, ana.store.newest_arrival().unwrap(), 40).unwrap();
    let now = of(&ana)[&device];
    assert_eq!((now.at_ms, now.ahead, now.behind), (40, 0, 0));
}
