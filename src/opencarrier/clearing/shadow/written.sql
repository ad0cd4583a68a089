-- Every difference as a row of CSV, in one order.
select
    home, visited, currency, causes.word as reason, nano as amount_nano,
    theirs as theirs_nano, ours as ours_nano,
    service, period,
    case when getvariable('rows_are') in ('part', 'session') then lower(hex(key)) end as session_id,
    lower(hex(case when getvariable('rows_are') = 'usage' then key else usage_id end)) as usage_id,
    line,
    their_quantity, our_quantity, their_price as their_price_nano, our_price as our_price_nano,
    waiting_words.word as waits_for
from differences
join causes on causes.number = reason
left join waiting_words on waiting_words.number = status
order by all
