//! The reach of a hold: a lane's place among accounts, tokens and apps.

use crate::contract::words::Scope;
use crate::core::request::message::LaneId;
use std::sync::Arc;

/// Where a lane belongs: what a fault of a wider scope strikes it by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub lane: LaneId,
    pub waba: Arc<str>,
    /// A fingerprint of the access token, never the token.
    pub token: Arc<str>,
    pub app: Arc<str>,
}

/// Everything of one scope with one name.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Reach {
    pub scope: Scope,
    pub key: Arc<str>,
}

impl Place {
    /// `None`: a message, a pair or a template is no place of a lane's.
    pub fn reach(&self, scope: Scope) -> Option<Reach> {
        let key = match scope {
            Scope::Lane => self.lane.0.clone(),
            Scope::Waba => self.waba.clone(),
            Scope::Token => self.token.clone(),
            Scope::App => self.app.clone(),
            Scope::Message | Scope::Pair | Scope::Template => return None,
        };
        Some(Reach { scope, key })
    }

    pub(super) fn reaches(&self) -> impl Iterator<Item = Reach> {
        let scopes = [Scope::Lane, Scope::Waba, Scope::Token, Scope::App];
        scopes.into_iter().filter_map(|scope| self.reach(scope))
    }

    pub fn is_in(&self, reach: &Reach) -> bool {
        self.reach(reach.scope).as_ref() == Some(reach)
    }
}
