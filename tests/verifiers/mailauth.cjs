// Which DKIM signatures verify, as the npm package mailauth sees it.
// In: {records: {name: TXT}, messages: [base64]} as JSON; out: [{selector: result}] likewise.
'use strict';

const { dkimVerify } = require('mailauth/lib/dkim/verify.js');

async function main() {
    let given = '';
    for await (const piece of process.stdin) given += piece;
    const { records, messages } = JSON.parse(given);
    const resolver = async name => {
        if (records[name]) return [[records[name]]];
        throw Object.assign(new Error('no such name'), { code: 'ENOTFOUND' });
    };
    const verdicts = [];
    for (const message of messages) {
        const found = await dkimVerify(Buffer.from(message, 'base64'), { resolver });
        const pairs = found.results.map(one => [one.selector, one.status.result]);
        verdicts.push(Object.fromEntries(pairs));
    }
    process.stdout.write(JSON.stringify(verdicts));
}

main();
