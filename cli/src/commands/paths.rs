//! `lanai paths`: where things are kept.

use serde::Serialize;

use super::Context;
use crate::error::{CliError, Exit};
use crate::layout::Table;

#[derive(Serialize)]
struct Paths {
    paths: Vec<Place>,
}

#[derive(Serialize)]
struct Place {
    name: &'static str,
    path: String,
    exists: bool,
    holds: &'static str,
}

pub(super) fn run(context: &mut Context) -> Result<Exit, CliError> {
    let home = context.home()?;
    let place = |name, path: std::path::PathBuf, holds| Place {
        name,
        exists: path.exists(),
        path: path.to_string_lossy().into_owned(),
        holds,
    };
    let paths = vec![
        place("home", home.root().to_path_buf(), "everything below"),
        place("store", home.store(), "all entries, sealed"),
        place("token", home.token(), "tells a copied store from its original"),
        place("device-key", home.device_key(), "your secret keys; not in backups"),
        place("config", home.config(), "settings"),
        place("drafts", home.drafts(), "texts begun and not published"),
        place("join", home.join_state(), "how far joining came"),
        place("lock", home.lock(), "held by the running node"),
        place("log", home.log(), "log of the node in the background"),
        place("socket", home.socket(), "where the running node is spoken to"),
    ];
    if context.ui.is_json() {
        context.ui.json("paths", &Paths { paths })?;
    } else {
        let mut table = Table::new().column("NAME").column("PATH").flexible("HOLDS");
        for place in &paths {
            table.row([place.name, &place.path, place.holds]);
        }
        context.ui.table(&table)?;
    }
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::super::testing::bench;
    use super::*;

    #[test]
    fn all_paths_are_listed() {
        let mut pipe = bench(None, false);
        run(&mut pipe.context).unwrap();
        let text = pipe.out.text();
        assert_eq!(text.lines().count(), 10);
        assert!(text.starts_with("home\t/"), "{text}");
        let store = pipe.dir.path().join("home/store.db");
        assert!(
            text.contains(&format!("store\t{}\t", store.canonicalize().unwrap_or(store).display()))
        );

        let mut json = bench(None, true);
        run(&mut json.context).unwrap();
        let value: serde_json::Value = serde_json::from_str(&json.out.text()).unwrap();
        assert_eq!(value["kind"], "paths");
        assert_eq!(value["paths"][1]["name"], "store");
        assert_eq!(value["paths"][1]["exists"], false);
    }
}
