//! The labels of a series: from its key, and those that all series get.

/// Labels that all series get, as names and values.
#[derive(Clone, Debug, Default)]
pub struct Labels {
    /// By name, ascending.
    common: Vec<(String, String)>,
}

impl Labels {
    /// Checks the labels that all series get.
    ///
    /// # Errors
    ///
    /// What is wrong with one of them, in words for an operator.
    pub fn new(common: &[(String, String)]) -> Result<Labels, String> {
        Ok(Labels {
            common: common.to_vec(),
        })
    }

    /// Hands the labels of the series with this key to `take`, as names and values, in the order of
    /// their names, each name once. Two keys never have the same labels.
    pub fn for_each(&self, key: &str, take: &mut dyn FnMut(&str, &str)) {
        let _ = (key, &self.common, take);
        todo!()
    }
}
