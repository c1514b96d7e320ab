using Sparseland.Bench.Figures;

namespace Sparseland.Cli.Tests.Bench;

public class OpenBlasPeerTests
{
    [Fact]
    public void ATrialDropsNoVariantWithAsManyThreadsAsOurs()
    {
        Assert.Equal([0, 2, 3], OpenBlasPeer.Kept([2, 1, 2, 1], [10, 12.6, 40, 12.4], 2));
        Assert.Equal([0, 1], OpenBlasPeer.Kept([2, 1], [40, 10], 2));
    }
}
