# The ten most frequent words in all strings whose keys begin with "text:".
#
#   redis-cli SET text:1 "to be or not to be"
#   redis-cli -x RG.PYEXECUTE < examples/word_count.py
#   # 1) 1) "to 2"
#   #    2) "be 2"
#   #    3) "or 1"
#   #    4) "not 1"
#   # 2) (empty array)
#
# Each result is "word count", the most frequent first.
import re

WORD = re.compile(r"\w+")


def words(record):
    # A value that is not UTF-8 arrives as a bytearray: it is no text.
    if not isinstance(record['value'], str):
        return []
    return WORD.findall(record['value'].lower())


(
    GB('KeysReader')
    .flatmap(words)
    .countby()
    .map(lambda group: (group['value'], group['key']))
    # Results leave sort() in reverse: this is the largest count first.
    .sort(reverse=False)
    .limit(10)
    .map(lambda pair: f'{pair[1]} {pair[0]}')
    .run('text:*')
)
