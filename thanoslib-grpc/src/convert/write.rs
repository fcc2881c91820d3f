//! What one receiver hands to another.

use crate::pb::{
    prometheus_copy::TimeSeries,
    thanos::{TimeSeriesTenantTuple, WriteRequest},
};

/// The samples of a request by tenant.
///
/// Older peers send those of one tenant in fields of their own, which count only when there are
/// none by tenant.
pub fn tenants(request: WriteRequest) -> Vec<(String, Vec<TimeSeries>)> {
    if request.timeseries_tenant_data.is_empty() {
        return vec![(request.tenant, request.timeseries)];
    }
    request.timeseries_tenant_data.into_iter().map(|t| (t.tenant, t.timeseries)).collect()
}

/// A request with the samples of several tenants; peers that know one tenant only see none.
pub fn write_request(tenants: Vec<(String, Vec<TimeSeries>)>, replica: i64) -> WriteRequest {
    let tuple = |(tenant, timeseries)| TimeSeriesTenantTuple { timeseries, tenant };
    WriteRequest {
        replica,
        timeseries_tenant_data: tenants.into_iter().map(tuple).collect(),
        ..WriteRequest::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_by_tenant_win() {
        let series = |n: usize| vec![TimeSeries::default(); n];
        let old = WriteRequest { timeseries: series(2), tenant: "a".to_owned(), ..WriteRequest::default() };
        assert_eq!(tenants(old.clone()), [("a".to_owned(), series(2))]);
        let by_tenant = vec![("b".to_owned(), series(1)), ("c".to_owned(), series(3))];
        let new = write_request(by_tenant.clone(), 1);
        assert_eq!(new.replica, 1);
        assert_eq!(
            tenants(WriteRequest { timeseries_tenant_data: new.timeseries_tenant_data, ..old }),
            by_tenant
        );
    }
}
