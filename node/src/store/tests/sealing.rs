//! Stores that are sealed with a key.

use super::*;
use crate::identity::Identity;

#[test]
#[cfg(not(feature = "sqlcipher"))]
fn a_build_that_cannot_seal_says_so() {
    let a = Node::founder("ana");
    let key = Identity { device: a.author.device.clone(), sealing: a.author.sealing.clone() };
    let with_key = Place { key: Some(key.store_key()), ..a.place.clone() };
    assert!(!seal(&with_key).unwrap());
    // The key is no hindrance where nothing is sealed.
    Store::open(&with_key).unwrap();
    let sealed = a.dir.path().join("sealed.db");
    std::fs::write(&sealed, [7; 4096]).unwrap();
    assert!(is_sealed(&sealed));
    let error = Store::open(&Place { db: sealed, ..with_key }).unwrap_err();
    assert!(matches!(error, StoreError::CannotUnseal(_)), "{error}");
}

#[cfg(feature = "sqlcipher")]
mod with_sqlcipher {
    use super::*;
    use crate::random::OsRandom;

    /// A store that was plain and is sealed.
    fn sealed() -> Node {
        let mut a = Node::founder("ana");
        a.note("Firewood", "Behind the barn.");
        a.fold();
        let hash = a.hash();
        let log = a.store.stats().unwrap().logs;
        let identity =
            Identity { device: a.author.device.clone(), sealing: a.author.sealing.clone() };
        let place = Place { key: Some(identity.store_key()), ..a.place.clone() };
        drop(a.store);
        a.place = place;
        {
            let _reader = Store::open(&Place { key: None, ..a.place.clone() }).unwrap();
            assert!(matches!(seal(&a.place), Err(StoreError::Busy)));
        }
        assert!(seal(&a.place).unwrap());
        assert!(!seal(&a.place).unwrap());
        a.store = Store::open(&a.place).unwrap();
        assert_eq!(a.hash(), hash);
        // It is the same store: the log goes on.
        a.note("Water", "In the well.");
        assert_eq!(a.store.stats().unwrap().logs, log);
        assert!(a.store.notices().unwrap().is_empty());
        a
    }

    fn readable(dir: &Path, phrase: &str) -> Vec<String> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let bytes = std::fs::read(&path).unwrap();
            if bytes.windows(phrase.len()).any(|w| w == phrase.as_bytes()) {
                found.push(path.display().to_string());
            }
        }
        found
    }

    #[test]
    fn a_sealed_store_works_as_any_other_and_shows_nothing() {
        let mut a = sealed();
        for phrase in ["Firewood", "Water", "porch", "SQLite", "CREATE TABLE"] {
            assert_eq!(readable(a.dir.path(), phrase), Vec::<String>::new(), "{phrase}");
        }
        let b = a.invite("ben");
        a.pull(&b);
        b.pull(&a);
        assert_eq!(b.hash(), a.hash());
        a.assert_clean();
        a.store.purge(a.now, |_| ()).unwrap();
        assert_eq!(readable(a.dir.path(), "Firewood"), Vec::<String>::new());

        let closed = Place { key: None, ..a.place.clone() };
        assert!(matches!(Store::open(&closed), Err(StoreError::Sealed(_))));
        let other = Identity::generate(&mut OsRandom).store_key();
        let wrong = Place { key: Some(other), ..a.place.clone() };
        assert!(matches!(Store::open(&wrong), Err(StoreError::Damaged(_))));
    }

    #[test]
    fn a_backup_of_it_is_sealed_and_comes_back() {
        let a = sealed();
        let hash = a.hash();
        let backup = a.dir.path().join("backup");
        a.store.backup(&backup).unwrap();
        assert!(is_sealed(&backup));
        assert_eq!(readable(a.dir.path(), "Firewood"), Vec::<String>::new());
        let device = a.author.device.device();
        Store::restore(&a.place, &backup, &device, NOW).unwrap();
        let back = Store::open(&a.place).unwrap();
        assert_eq!(back.state_hash().unwrap(), hash);
        // A plain backup is sealed when it comes back.
        let mut plain = Node::founder("ana");
        plain.note("Firewood", "Behind the barn.");
        plain.store.backup(&backup.with_extension("plain")).unwrap();
        Store::restore(&a.place, &backup.with_extension("plain"), &device, NOW + 1).unwrap();
        assert!(is_sealed(&a.place.db));
        assert_eq!(readable(a.dir.path(), "Firewood").len(), 1, "the backup itself");
        // Without the key it does not.
        let open = Place { key: None, ..a.place.clone() };
        let refused = Store::restore(&open, &backup, &device, NOW);
        assert!(matches!(refused, Err(StoreError::Sealed(_))));
    }
}
