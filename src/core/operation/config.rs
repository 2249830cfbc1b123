//! The bounds of what is checked before a request is sent.

/// The bounds of intake, from `[intake]`.
#[derive(Clone, Copy, Debug)]
pub struct IntakeConfig {
    pub max_body_bytes: usize,
    pub check_sizes: bool,
    /// Whether a business-scoped user id may stand in `to`.
    pub user_ids_in_to: bool,
}

#[cfg(test)]
impl IntakeConfig {
    pub(crate) const OF_TESTS: Self = Self {
        max_body_bytes: 4_000_000,
        check_sizes: true,
        user_ids_in_to: false,
    };
}
