"""What several of the generators need."""


def flat_fields(fields, prefix=''):
    """Each field that is no union, also those within unions, as (name with its union's, field)."""
    for field in fields:
        if field['type'] == 'union':
            inside = f'{prefix}{field["name"]}.' if field['name'] else prefix
            yield from flat_fields(field['members'], inside)
        else:
            yield prefix + field['name'], field


def named_places(record):
    """The record's fields as ferry_layout_offset knows them."""
    return flat_fields(record['fields'])
