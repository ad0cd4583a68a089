-- Both result tables, in one order. Amounts are sums in 128 bits, in the currency and at the rate of
-- the line that priced them; an empty currency is the asset itself.
create or replace table positions as
select
    home, visited, asset, currency, rate, decimals,
    sum(records)::decimal(38, 0) as records,
    sum(seller_minor)::decimal(38, 0) as seller_minor,
    sum(host_minor)::decimal(38, 0) as host_minor,
    sum(protocol_minor)::decimal(38, 0) as protocol_minor,
    sum(tax_minor)::decimal(38, 0) as tax_minor
from line_sums join line_rows using (line)
group by home, visited, asset, currency, rate, decimals
order by all;

create or replace table nodes as
select
    visited, node, asset, currency, rate, decimals,
    sum(records)::decimal(38, 0) as records,
    sum(host_minor)::decimal(38, 0) as host_minor
from node_sums join accounts using (account)
group by visited, node, asset, currency, rate, decimals
order by all;
