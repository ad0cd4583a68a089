-- Our side: what each rated record costs in nano-units (1e-9) of its currency, and where it stands.
-- `line_rows` are the run's lines, `settled` says which assets a currency stands for after exchange.
create temp table lines as
select
    line_rows.line, line_rows.unit, line_rows.first_step, line_rows.next_step, line_rows.rate,
    ('1' || repeat('0', line_rows.decimals))::hugeint as scale,
    settled.currency is not null as is_settled,
    case when is_settled then (2000000000 * line_rows.rate::hugeint + scale) // (2 * scale) end
        as exchange_nano,
    coalesce(settled.currency, nullif(line_rows.currency, ''), line_rows.asset) as currency
from line_rows left join settled on settled.asset = line_rows.asset;

-- Millionths of a line's currency as nano-units, of the asset where it is exchanged (half up).
create temp macro in_nano(minor, is_settled, rate, scale) as
    case
        when is_settled then (2000 * minor::hugeint * rate + scale) // (2 * scale)
        else minor::hugeint * 1000
    end;

create temp table parts as
with
priced as (
    select
        used.usage_id, used.session_id, used.home, used.visited, used.service, used.start_us,
        used.octets_in, used.octets_out, used.duration_s, used.units,
        rated.line, rated.status,
        lines.currency, lines.is_settled, lines.rate, lines.scale, lines.exchange_nano,
        rated.seller_minor + rated.host_minor + rated.protocol_minor as untaxed_minor,
        rated.tax_minor
    from read_parquet(getvariable('rated')) as rated
    join read_parquet(getvariable('files'), hive_partitioning = false) as used
        on used.usage_id = rated.usage_id
    left join lines on rated.line = lines.line
    where used.side = 1
)
select
    usage_id, home, visited, service, start_us, line, status, currency, exchange_nano,
    case getvariable('rows_are') when 'usage' then usage_id else session_id end as key,
    case when getvariable('rows_are') = 'part' then start_us // 1000000 else -1 end as start_s,
    start_us >= getvariable('since_us') and start_us < getvariable('until_us') as counts,
    coalesce(in_nano(untaxed_minor, is_settled, rate, scale), 0) as net,
    case
        when getvariable('without_tax') then net
        else coalesce(in_nano(untaxed_minor + tax_minor, is_settled, rate, scale), 0)
    end as nano,
    octets_in, octets_out, duration_s, units
from priced;

-- How much of a line's unit was used: 1 octets, 2 in, 3 out, 4 seconds, 6 units; sessions count none.
create temp macro quantity(unit, octets, octets_in, octets_out, duration_s, units) as
    case unit
        when 1 then octets::hugeint
        when 2 then octets_in::hugeint
        when 3 then octets_out::hugeint
        when 4 then duration_s::hugeint
        when 6 then units::hugeint
    end;

create temp view adjusted as select * replace (nano::hugeint as nano) from booked;
