using Sparseland.Cli.Hosting;

namespace Sparseland.Cli.Tests.Hosting;

public class CommonOptionsTests
{
    [Theory]
    [InlineData("90s", 90)]
    [InlineData("10m", 600)]
    [InlineData("1h30m", 5400)]
    [InlineData("1.5m", 90)]
    [InlineData("45", 45)]
    public void DurationsAreRead(string text, double seconds) => Assert.Equal(seconds, CommonOptions.ParseDuration(text).TotalSeconds, 6);

    [Theory]
    [InlineData("")]
    [InlineData("m")]
    [InlineData("-5s")]
    [InlineData("5d")]
    [InlineData("0s")]
    public void OtherDurationsAreUsageErrors(string text) =>
        Assert.Equal(ExitCodes.Usage, Assert.Throws<VerbException>(() => CommonOptions.ParseDuration(text)).ExitCode);

    [Theory]
    [InlineData("50MB", 50_000_000)]
    [InlineData("1.5GiB", 1_610_612_736)]
    [InlineData("123", 123)]
    [InlineData("2 kb", 2000)]
    public void SizesAreRead(string text, long bytes) => Assert.Equal(bytes, CommonOptions.ParseSize(text));

    [Theory]
    [InlineData("")]
    [InlineData("MB")]
    [InlineData("-1GB")]
    [InlineData("1e30GB")]
    public void OtherSizesAreUsageErrors(string text) => Assert.Throws<VerbException>(() => CommonOptions.ParseSize(text));

    [Theory]
    [InlineData("60%", 0.6)]
    [InlineData("0.6", 0.6)]
    [InlineData("0", 0)]
    public void FractionsAreRead(string text, double value) => Assert.Equal(value, CommonOptions.ParseFraction(text, "--sparsity"), 12);

    [Theory]
    [InlineData("110%")]
    [InlineData("100%")]
    [InlineData("60")]
    [InlineData("-1%")]
    [InlineData("lots")]
    [InlineData("NaN")]
    public void OtherFractionsAreUsageErrors(string text) => Assert.Throws<VerbException>(() => CommonOptions.ParseFraction(text, "--sparsity"));

    [Fact]
    public void ABareSixtyIsAnsweredWithSixtyPercent() =>
        Assert.Contains("60%", Assert.Throws<VerbException>(() => CommonOptions.ParseFraction("60", "--sparsity")).Try);
}
