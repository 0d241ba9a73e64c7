# What testcontainers' reaper does: removes the containers of a session when its client is gone.
use strict;
use IO::Socket::INET;
use IO::Socket::UNIX;

$| = 1;

sub ask {
    my ($method, $path) = @_;
    my $daemon = IO::Socket::UNIX->new('/var/run/docker.sock') or die "no daemon: $!";
    print $daemon "$method $path HTTP/1.0\r\nHost: docker\r\n\r\n";
    local $/;
    return <$daemon>;
}

my $server = IO::Socket::INET->new(LocalPort => 8080, Listen => 5, ReuseAddr => 1) or die $!;
print "reaper Started!\n";
my $client = $server->accept;
my ($label) = <$client> =~ /^label=(\S+)/ or die "no label";
1 while <$client>;

my $filter = qq({"label":["$label"]});
$filter =~ s/([^A-Za-z0-9])/sprintf "%%%02X", ord $1/ge;
for my $id (ask('GET', "/containers/json?all=1&filters=$filter") =~ /"Id":"([0-9a-f]{64})"/g) {
    ask('DELETE', "/containers/$id?force=1&v=1");
}
