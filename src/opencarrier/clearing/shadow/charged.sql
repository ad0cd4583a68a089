-- Their side, where no statement says it: what the files charged that our records were read from.
-- A TAP file charges without tax, which stands beside.
create temp view told as
select
    false as beside, source_offset as line, home, visited, usage_id as key, -1::bigint as start_s,
    service, null::varchar as period, charged_currency as currency,
    false as is_adjustment, 1::bigint as records, null::bigint as exchange_nano,
    ('1' || repeat('0', 9 - charged_decimals))::bigint as unit_nano,
    octets_in::hugeint + octets_out as octets, octets_in, octets_out, duration_s, units,
    charged_minor::hugeint * unit_nano as nano,
    nano as net
from read_parquet(getvariable('files'), hive_partitioning = false)
where side = 1 and charged_minor is not null and home is not null
    and start_us >= getvariable('since_us') and start_us < getvariable('until_us')
    and usage_id in (select usage_id from read_parquet(getvariable('rated')));
