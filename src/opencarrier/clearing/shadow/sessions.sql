-- A row of theirs is a whole session: our parts of it are added up, those that wait apart.
create temp view owned as
select
    key, start_s, home, visited, service, currency, counts, max(status) as status,
    case when min(exchange_nano) = max(exchange_nano) then min(exchange_nano) end as exchange_nano,
    min(usage_id) as usage_id, min(start_us) as start_us,
    sum(nano) as nano, sum(net) as net,
    min(line) as line, count(distinct line) <= 1 as one_line, count(*) = 1 as is_stepped,
    sum(octets_in::hugeint) as octets_in, sum(octets_out::hugeint) as octets_out,
    sum(duration_s::hugeint) as duration_s, sum(units::hugeint) as units
from parts
group by key, start_s, home, visited, service, currency, counts, status = 0;
