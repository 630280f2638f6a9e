//! Address book, settings, notices.

use super::*;

#[test]
fn addresses_are_kept_by_when_they_were_seen() {
    let a = Node::founder("ana");
    let (x, y) = (DeviceId::new([1; 32]), DeviceId::new([2; 32]));
    for i in 0..20 {
        a.store.remember_peer(&x, &format!("/ip4/10.0.0.{i}/tcp/1"), NOW + i).unwrap();
    }
    a.store.remember_peer(&y, "/ip4/10.1.0.1/tcp/1", NOW + 100).unwrap();
    a.store.remember_peer(&y, &"x".repeat(513), NOW + 100).unwrap();
    a.store.remember_peer(&x, "/ip4/10.0.0.7/tcp/1", NOW + 200).unwrap();
    let peers = a.store.peers().unwrap();
    assert_eq!(peers.len(), 17);
    assert_eq!(peers[0].address, "/ip4/10.0.0.7/tcp/1");
    assert_eq!((peers[1].device, peers[1].seen_ms), (y, NOW + 100));
    a.store.forget_peer(&x).unwrap();
    assert_eq!(a.store.peers().unwrap().len(), 1);
}

#[test]
fn settings_do_not_meet_the_stores_own() {
    let a = Node::founder("ana");
    assert_eq!(a.store.setting("community").unwrap(), None);
    a.store.set_setting("community", Some(b"x")).unwrap();
    assert_eq!(a.store.setting("community").unwrap().unwrap(), b"x");
    a.store.set_setting("community", None).unwrap();
    assert_eq!(a.store.setting("community").unwrap(), None);
    assert!(Store::open(&a.place).is_ok());
}
