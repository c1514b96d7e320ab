using Sparseland.Cli.Reporting;

namespace Sparseland.Cli.Tests.Reporting;

public class ShareTextTests
{
    [Theory]
    [InlineData(0, 1, "0.0 %")]
    [InlineData(1, 1, "100.0 %")]
    [InlineData(0.5, 1, "50.0 %")]
    [InlineData(0.12345, 1, "12.3 %")]
    [InlineData(0.12345, 4, "12.345 %")]
    [InlineData(0.9995, 1, "99.95 %")]
    [InlineData(0.9994, 1, "99.9 %")]
    [InlineData(0.9999, 4, "99.99 %")]
    [InlineData(0.999999, 1, "99.9999 %")]
    [InlineData(0.99999999, 4, "99.999999 %")]
    [InlineData(0.000001, 1, "0.0001 %")]
    [InlineData(-0.25, 1, "-25.0 %")]
    public void What_is_not_all_or_nothing_is_not_called_so(double share, int digits, string text) => Assert.Equal(text, ShareText.Of(share, digits));
}
