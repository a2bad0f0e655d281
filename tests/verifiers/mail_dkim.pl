# Which DKIM signatures verify, as Perl's Mail::DKIM sees it.
# In: {records: {name: TXT}, messages: [base64]} as JSON; out: [{selector: result}] likewise.
use strict;
use warnings;
use JSON::PP;
use MIME::Base64;
use Mail::DKIM::Verifier;
use Net::DNS;

my $given = decode_json(join '', <STDIN>);
{
    no warnings 'redefine';
    *Mail::DKIM::DNS::query = sub {
        my ($name) = @_;
        my $text = $given->{records}{$name} or return;
        return Net::DNS::RR->new(name => $name, type => 'TXT', txtdata => [$text]);
    };
}
my @verdicts;
for my $message (@{ $given->{messages} }) {
    my $verifier = Mail::DKIM::Verifier->new();
    $verifier->PRINT(decode_base64($message));
    $verifier->CLOSE;
    push @verdicts, { map { ($_->selector // '') => $_->result } $verifier->signatures };
}
print encode_json(\@verdicts);
