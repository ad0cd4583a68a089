-- Leave what counts: no void, nothing that a correction or a void names, and of several that name
-- the same record only the one with the highest sequence, then id.
delete from rated
where kind = 3
    or usage_id in (select corrects from rated where corrects is not null)
    or (
        corrects is not null
        and (corrects, sequence, usage_id) not in (
            select corrects, max(sequence), max_by(usage_id, (sequence, usage_id))
            from rated where corrects is not null group by corrects
        )
    );
