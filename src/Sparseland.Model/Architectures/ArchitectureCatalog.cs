namespace Sparseland.Model.Architectures;

/// <summary>All architectures that are written here, as an explicit list.</summary>
public static class ArchitectureCatalog
{
    /// <summary>The Llama language model.</summary>
    public static Llama Llama { get; } = new();

    /// <summary>Every architecture; where several fit a checkpoint, the first wins.</summary>
    public static IReadOnlyList<Architecture> All { get; } =
    [
        new LeNet300(),
        new LeNet5(),
        new SmallCnn(),
        new Mlp(),
        new CifarResNet("resnet20", 20, 16),
        new CifarResNet("resnet32", 32, 16),
        new CifarResNet("resnet44", 44, 16),
        new CifarResNet("resnet56", 56, 16),
        new CifarResNet("resnet110", 110, 16),
        new CifarResNet("resnet20-wide", 20, 64),
        new Vgg16(),
        new ImageNetResNet(18, false, 2, 2, 2, 2),
        new ImageNetResNet(34, false, 3, 4, 6, 3),
        new ImageNetResNet(50, true, 3, 4, 6, 3),
        new MobileNetV1(),
        new MobileNetV2(),
        new VisionTransformer(),
        Llama,
    ];

    /// <summary>The architecture of that name, or null.</summary>
    public static Architecture? Find(string id) => All.FirstOrDefault(a => string.Equals(a.Id, id, StringComparison.OrdinalIgnoreCase));

    /// <summary>The architecture of that name.</summary>
    /// <exception cref="SparselandException">SL4102: there is none; near names are listed.</exception>
    public static Architecture Get(string id)
    {
        ArgumentNullException.ThrowIfNull(id);
        return Find(id) ?? throw new SparselandException("SL4102", $"there is no architecture '{id}'")
        {
            Try = $"one of: {string.Join(", ", All.Select(a => a.Id))}",
        };
    }
}
