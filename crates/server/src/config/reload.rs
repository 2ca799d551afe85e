//! Reading the configuration again while the server runs: what has changed, and whether that can be taken over.

use std::collections::BTreeSet;

use trunkline_model::Limits;

use super::layers::{Place, written};
use super::{FRAME_PER_MESSAGE, Layers, Mode, Settings, keys};
use crate::cli::ServerOptions;

/// What a running server was configured with.
#[derive(Debug)]
pub(crate) struct Configuration {
    pub(crate) mode: Mode,
    pub(crate) options: ServerOptions,
    pub(crate) layers: Layers,
}

impl Configuration {
    /// What the same options come to now, and how many settings have changed.
    ///
    /// # Errors
    /// What is wrong with it, or can be changed by a restart only. Then everything stays as it is.
    pub(crate) fn read_again(&mut self, limits: &Limits) -> Result<(Settings, usize), String> {
        let read = match self.mode {
            Mode::Dev => Settings::read(self.mode, &self.options),
            Mode::Serve => Settings::to_serve(&self.options),
        };
        let (settings, layers) = read.map_err(|error| error.to_string())?;
        let now = layers.namespaces();
        if let Some(name) = self.layers.namespaces().iter().find(|name| !now.contains(name)) {
            return Err(format!(
                "the namespace {name} is not there any more; to take one away start the server again"
            ));
        }
        let changed = changed(&self.layers, &layers, self.mode);
        let fixed: Vec<_> =
            changed.iter().filter(|place| !self.can_change(place)).map(|place| written(place)).collect();
        if !fixed.is_empty() {
            return Err(format!(
                "{} counts when the server is started; start it again, or put that back",
                fixed.join(", ")
            ));
        }
        if settings.namespaces.message_size_max() * FRAME_PER_MESSAGE
            > limits.frame_size_max.min(limits.http_body)
        {
            let max = limits.frame_size_max / FRAME_PER_MESSAGE;
            return Err(format!(
                "a `limits.message` above {max} B counts when the server is started; start it again"
            ));
        }
        self.layers = layers;
        Ok((settings, changed.len()))
    }

    /// Whether a running server takes this over: what reloads, and all that belongs to a new namespace.
    fn can_change(&self, place: &[String]) -> bool {
        if keys::find(place).is_some_and(|key| key.reloads) {
            return true;
        }
        let [first, name, ..] = place else { return false };
        first == "namespace" && !self.layers.namespaces().contains(name)
    }
}

/// The settings that are not the same in both.
fn changed(before: &Layers, after: &Layers, mode: Mode) -> Vec<Place> {
    let places: BTreeSet<&Place> = before.origins.keys().chain(after.origins.keys()).collect();
    let value = |layers: &Layers, place: &Place| {
        let default = || keys::find(place).and_then(|key| key.default_in(mode)).map(str::to_owned);
        layers.get(place).map(ToString::to_string).or_else(default)
    };
    let differs = |place: &&Place| value(before, place) != value(after, place);
    places.into_iter().filter(differs).cloned().collect()
}
