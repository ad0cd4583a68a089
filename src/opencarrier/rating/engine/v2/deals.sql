-- What deals read of rated records: sums by line and window, and each pricing's subscribers.
-- `scopes` says which lines a deal reads in which window, `pricings` whose subscribers it counts.
create or replace temp table seen as
select scope, agreement_hash, place, subject, amount, seller_minor, host_minor, protocol_minor, tax_minor
from (
    select
        scopes.scope, lines.agreement_hash, lines.place, rated.amount,
        rated.seller_minor, rated.host_minor, rated.protocol_minor, rated.tax_minor,
        used.subject,
        coalesce(used.tariff_at_us, used.start_us) as at_us,
        scopes.start_us, scopes.end_us
    from read_parquet(getvariable('rated')) as rated
    join line_rows as lines on rated.line = lines.line
    join scopes on scopes.agreement_hash = lines.agreement_hash and scopes.place = lines.place
    join read_parquet(getvariable('files'), hive_partitioning = false) as used
        on used.usage_id = rated.usage_id
    where rated.status = 0 and used.side = 1
)
where at_us >= start_us and at_us < end_us;
