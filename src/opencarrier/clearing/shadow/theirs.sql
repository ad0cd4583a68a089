-- Their side: the rows of statements as staged, in nano-units of their currency. `nano` is what is
-- compared: with tax, or without it where the statement tells none.
create temp view told as
select
    beside, line, home, visited, key, coalesce(start_s, -1) as start_s, service, period, currency,
    is_adjustment, records, exchange_nano, unit_nano,
    coalesce(octets::hugeint, octets_in::hugeint + octets_out) as octets,
    octets_in, octets_out, duration_s, units,
    amount_minor::hugeint * unit_nano as amount,
    tax_minor::hugeint * unit_nano as tax,
    case when getvariable('with_tax') then amount else amount + coalesce(tax, 0) end as nano,
    case when getvariable('with_tax') then amount - tax else amount end as net
from read_parquet(getvariable('staged'));
