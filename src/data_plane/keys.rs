//! The keys that session ids are sealed with: of a file, which is read again when it changes, or of
//! this process alone.

use std::path::PathBuf;
use std::sync::Arc;

use gateway_data_plane::{DataPlane, SessionKeys};
use tokio::sync::watch;

use crate::kept::{self, Kept};

/// Where the keys come from.
#[derive(Debug)]
pub(super) struct Keys {
    file: Option<Kept<SessionKeys>>,
}

impl Keys {
    /// Makes the file where it is missing.
    pub(super) fn of(file: Option<PathBuf>) -> anyhow::Result<(SessionKeys, Self)> {
        let Some(path) = file else {
            return Ok((SessionKeys::random()?, Self { file: None }));
        };
        SessionKeys::load_or_create(&path)?;
        let make = {
            let path = path.clone();
            move || Ok(SessionKeys::load(&path)?)
        };
        let file = Kept::new("session keys", vec![path], make)?;
        let keys = SessionKeys::clone(&file.current().borrow());
        Ok((keys, Self { file: Some(file) }))
    }

    /// Has the data plane use what the file holds, for as long as it is let.
    pub(super) async fn follow(self, data: &DataPlane) {
        let current = self.file.as_ref().map(Kept::current);
        tokio::join!(kept::follow(self.file), replace(data, current));
    }
}

async fn replace(data: &DataPlane, current: Option<watch::Receiver<Arc<SessionKeys>>>) {
    let Some(mut current) = current else { return };
    while current.changed().await.is_ok() {
        let keys = Arc::clone(&current.borrow_and_update());
        data.replace_session_keys(keys);
    }
}
